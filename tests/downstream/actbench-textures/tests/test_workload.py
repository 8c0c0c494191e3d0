from actbench.network.trace import trace
from actbench.workloads.base import WorkloadSettings
from actbench_textures.workload import Textures


def test_images_fit_the_network():
    workload = Textures(WorkloadSettings(limit=8))
    network = trace(workload.model(), workload.input_shape)
    assert len(network.maps) > 0
    for images in (workload.calibration_set(), workload.training_set(), workload.evaluation_set()):
        assert network.module(images.images(slice(0, 2))).shape == (2, 2)
    assert len(workload.evaluation_set()) == 8


def test_the_network_has_learnt_something():
    workload = Textures(WorkloadSettings())
    images = workload.evaluation_set()
    outputs = workload.model()(images.images(slice(None)))
    assert (outputs.argmax(1) == images.targets).float().mean() > 0.9
