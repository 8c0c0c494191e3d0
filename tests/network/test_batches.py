"""How many images are taken at once, by the sizes of what a network computes."""

import pytest
import torch
from torch import Tensor, nn

from actbench.network import batches
from actbench.network.batches import Batches
from actbench.network.trace import TracedNetwork, trace


class Upsampled(nn.Module):
    """The output, 5·32·32 values, is larger than the only map; everything together has 11,520 values."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head, self.up = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 5, 1), nn.Upsample(scale_factor=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(self.head(torch.relu(self.stem(x))))


@pytest.fixture
def network() -> TracedNetwork:
    return trace(Upsampled(), (3, 32, 32))


def test_small_networks_have_the_largest_batches(network: TracedNetwork) -> None:
    assert Batches.of(network) == Batches(
        evaluation=250, fitted=128, calibration=64, latency=16, checked=4, training=(1 << 31) // 11_520, tried=128
    )


@pytest.mark.parametrize(("values", "images"), [(5 * 32 * 32 - 1, 1), (5 * 32 * 32, 1), (3 * 5 * 32 * 32 + 1, 3)])
def test_the_largest_tensor_decides_also_where_it_is_no_map(
    network: TracedNetwork, monkeypatch: pytest.MonkeyPatch, values: int, images: int
) -> None:
    monkeypatch.setattr(batches, "_LARGEST", values)
    chosen = Batches.of(network)
    bounded = (chosen.evaluation, chosen.fitted, chosen.calibration, chosen.checked)
    assert (*bounded, chosen.latency) == (images, images, images, images, 16)


@pytest.mark.parametrize(("values", "images"), [(20 * 5 * 32 * 32, 20), (8 * 5 * 32 * 32, 8), (1, 8)])
def test_images_are_evaluated_in_batches_that_stay_in_caches_but_not_one_by_one(
    network: TracedNetwork, monkeypatch: pytest.MonkeyPatch, values: int, images: int
) -> None:
    monkeypatch.setattr(batches, "_CACHED", values)
    chosen = Batches.of(network)
    assert (chosen.evaluation, chosen.fitted) == (images, 128)


def test_of_large_maps_one_image_is_taken_and_a_few_are_tried() -> None:
    """No pixel is computed: the model is on the meta device."""
    with torch.device("meta"):
        network = trace(nn.Sequential(nn.Conv2d(3, 64, 3, 2, 1), nn.ReLU(), nn.Conv2d(64, 64, 1)), (3, 2048, 4096))
    chosen = Batches.of(network)
    assert (chosen.evaluation, chosen.fitted, chosen.calibration, chosen.checked, chosen.latency) == (1, 1, 1, 1, 1)
    assert (chosen.training, chosen.tried) == (5, 20)
