"""Workloads that need no files: images, targets, metrics and objectives go together, and checkpoints are good."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn import functional

from actbench.info import load_target
from actbench.registry import load_plugins
from actbench.workloads.base import WorkloadSettings
from actbench.workloads.embedded import Embedded
from actbench.workloads.identify import checkpoint
from actbench.workloads.train import SETTINGS, TrainingSettings, qualities, train
from actbench.workloads.zoo.encoder_decoder import EncoderDecoder

DENSE = ("shapes-segmentation", "shapes-depth", "photos-denoise", "photos-upscale")
INFOS = {info.name: info for info in load_plugins().workloads.values() if info.name in DENSE}


@pytest.fixture(params=DENSE)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def workload(name: str, limit: int | None = None) -> Embedded:
    made: Embedded = load_target(INFOS[name].target)(WorkloadSettings(limit=limit))
    return made


def worthless(of: Embedded, images: Tensor, targets: Tensor) -> Tensor:
    """The outputs of an answer that is worth nothing."""
    if of.name == "shapes-segmentation":
        return functional.one_hot(torch.zeros_like(targets, dtype=torch.int64), 11).movedim(-1, 1).float()
    if of.name == "shapes-depth":
        return torch.full_like(targets, 2.0)[:, None]
    return functional.interpolate(images, targets.shape[-2:], mode="nearest")


def score(of: Embedded, outputs: Tensor, targets: Tensor) -> float:
    return float(of.metric.score(of.metric.per_image(outputs, targets).mean(0)))


def test_images_and_targets_fit_the_network(name: str) -> None:
    of = workload(name)
    images, targets = next(of.images("train", 8).batches(8))
    assert tuple(images.shape[1:]) == of.input_shape
    outputs = of.network().train()(images)
    loss = of.loss(outputs, targets) + of.divergence(outputs, outputs.detach())
    loss.backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(loss)
    assert torch.isfinite(of.metric.per_image(outputs.detach(), targets)).all()


def test_the_first_images_do_not_depend_on_how_many_follow(name: str) -> None:
    for part in ("train", "test"):
        few, more = workload(name).images(part, 3), workload(name).images(part, 70)
        assert torch.equal(few.pixels, more.pixels[:3])
        assert torch.equal(few.targets, more.targets[:3])


def test_a_limit_leaves_the_first_images(name: str) -> None:
    assert len(workload(name, limit=5).evaluation_set()) == 5
    assert len(workload(name, limit=10**6).evaluation_set()) == workload(name).evaluation_images


def test_calibration_images_are_for_training_and_not_for_tests(name: str) -> None:
    of = workload(name)
    few = replace(of.images("train", 70), targets=torch.zeros(70))
    of.training_images = of.calibration_images = 70
    assert torch.equal(of.calibration_set().pixels, few.pixels)
    seen = {image.numpy().tobytes() for image in of.training_set().pixels}
    assert not seen & {image.numpy().tobytes() for image in of.images("test", 70).pixels}


def test_the_reference_point_is_an_answer_that_is_worth_nothing(name: str) -> None:
    of = workload(name)
    images, targets = next(of.evaluation_set().batches(of.evaluation_images))
    point = INFOS[name].reference_point
    assert score(of, worthless(of, images, targets), targets) == pytest.approx(point, rel=5e-3)


def test_checkpoints_are_small_and_say_which_images_they_saw(name: str) -> None:
    assert checkpoint(name).stat().st_size < 2_000_000
    source, _, number = workload(name).version.partition(":")
    with safe_open(checkpoint(name), "pt") as file:
        assert file.metadata()[source] == number


def test_solids_are_found_and_not_perfectly() -> None:
    of = workload("shapes-segmentation", limit=48)
    assert 60 < qualities(of, of.model())["mean-iou"] < 92


def test_distances_are_nearer_to_the_true_ones_than_the_ground_is() -> None:
    of = workload("shapes-depth", limit=48)
    images, targets = next(of.evaluation_set().batches(48))
    reached = qualities(of, of.model())["abs-rel"]
    assert 0.01 < reached < 0.6 * score(of, worthless(of, images, targets), targets)


@pytest.mark.parametrize(("name", "least"), [("photos-denoise", 6.0), ("photos-upscale", 0.7)])
def test_photographs_gain_in_db_over_what_needs_no_network(name: str, least: float) -> None:
    of = workload(name, limit=48)
    images, targets = next(of.evaluation_set().batches(48))
    enlarged = functional.interpolate(images, targets.shape[-2:], mode="bicubic")
    with torch.no_grad():
        restored = of.model()(images)
    assert score(of, restored, targets) > score(of, enlarged, targets) + least


def test_training_learns_and_repeats_itself() -> None:
    of, settings = workload("photos-upscale", limit=12), TrainingSettings(images=64, epochs=2, learning_rate=1e-3)
    first, second = train(of, settings), train(of, settings)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    torch.manual_seed(settings.seed)
    assert qualities(of, first)["psnr"] > qualities(of, of.network().eval())["psnr"] + 1


def test_coarse_epochs_are_of_images_of_half_the_size(monkeypatch: pytest.MonkeyPatch) -> None:
    of, network = workload("shapes-depth"), nn.Conv2d(3, 1, 1)
    sizes: list[int] = []
    network.register_forward_hook(lambda module, inputs, outputs: sizes.append(outputs.shape[-1]))
    monkeypatch.setattr(of, "network", lambda: network)
    train(of, TrainingSettings(images=8, epochs=3, coarse=2, batch=4))
    assert sizes == [64] * 4 + [128] * 2


def test_training_begins_where_another_workload_ended() -> None:
    settings = TrainingSettings(images=4, epochs=1, batch=4, start="shapes-segmentation", learning_rate=1e-9)
    network, there = train(workload("shapes-depth"), settings), workload("shapes-segmentation").model()
    assert isinstance(network, EncoderDecoder)
    assert isinstance(there, EncoderDecoder)
    assert torch.allclose(network.stem[0][0].weight, there.stem[0][0].weight, atol=1e-6)
    assert network.head.out_channels == 1


def test_every_embedded_workload_has_settings() -> None:
    assert {of.name for of in SETTINGS} == {"shapes", *DENSE}
