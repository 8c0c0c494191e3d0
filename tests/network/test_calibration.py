"""Statistics against numpy on the tensors that a hand-written forward pass captures."""

import numpy
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from actbench.codec import SideStatistics
from actbench.measure.memory import peak_live_bytes
from actbench.network import batches, samples
from actbench.network.calibration import Statistics, collect
from actbench.network.trace import TracedNetwork, trace


class Pooled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv, self.up = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 5, 3), nn.Linear(5, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.stem(x)), 2)
        return self.up(torch.tanh(self.conv(x)).permute(0, 2, 3, 1))


@pytest.fixture
def network() -> TracedNetwork:
    torch.manual_seed(0)
    return trace(Pooled(), (3, 8, 10))


@pytest.fixture
def images() -> Tensor:
    return torch.randn(10, 3, 8, 10, generator=torch.Generator().manual_seed(1))


def captured(network: TracedNetwork, images: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    with torch.no_grad():
        stem = network.module.stem(images)
        pooled = F.max_pool2d(F.relu(stem), 2)
        conv = network.module.conv(pooled)
    return {"conv": (stem, pooled), "up": (conv.tanh(), conv.tanh())}


def agree(side: SideStatistics, expected: Tensor, kept: int) -> None:
    columns: NDArray[numpy.float64] = expected.double().transpose(0, 1).flatten(1).numpy()
    numpy.testing.assert_allclose(side.mean, columns.mean(1), atol=1e-6)
    numpy.testing.assert_allclose(side.gram, columns @ columns.T / columns.shape[1], atol=1e-6)
    numpy.testing.assert_allclose(side.covariance, numpy.cov(columns, bias=True), atol=1e-6)
    assert side.gram.dtype == torch.float64
    assert side.count == columns.shape[1]
    assert (side.minimum, side.maximum) == pytest.approx((columns.min(), columns.max()))
    torch.testing.assert_close(side.sample, expected[:kept])


@pytest.mark.parametrize("batch", [3, 10, 64])
def test_moments_on_both_sides(network: TracedNetwork, images: Tensor, batch: int) -> None:
    statistics = Statistics(network, images, batch)
    assert list(statistics) == ["conv", "up"]
    for name, (before, after) in captured(network, images).items():
        agree(statistics[name].before, before, 10)
        agree(statistics[name].after, after, 10)


def test_a_side_without_a_step_is_the_same_on_both(network: TracedNetwork, images: Tensor) -> None:
    """A map with channels last is handed over with channels first."""
    statistics = Statistics(network, images)["up"]
    assert statistics.before.sample.shape == statistics.after.sample.shape == (10, 5, 2, 3)


def test_one_pass_when_it_is_first_asked_for(network: TracedNetwork, images: Tensor) -> None:
    seen: list[int] = []
    network.module.stem.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    statistics = Statistics(network, images, 4)
    assert (list(statistics), len(statistics), seen) == (["conv", "up"], 2, [])
    for name in ("up", "conv", "up"):
        assert statistics[name].after.count > 0
    assert seen == [4, 4, 2]


@pytest.mark.parametrize(("kept", "fitting"), [(5, 5.5), (1, 0.5), (10, 100)])
def test_the_samples_fit_into_their_memory(
    network: TracedNetwork, images: Tensor, monkeypatch: pytest.MonkeyPatch, kept: int, fitting: float
) -> None:
    """The first images are kept, over the borders of batches; the moments are of all of them."""
    elements = 4 * (8 * 10 + 4 * 5) + 5 * (2 * 3 + 2 * 3)
    monkeypatch.setattr(samples, "SAMPLE_BYTES", int(fitting * elements * 4))
    statistics = Statistics(network, images, 4)
    for name, (before, after) in captured(network, images).items():
        agree(statistics[name].before, before, kept)
        agree(statistics[name].after, after, kept)


@pytest.mark.parametrize("order", [("conv", "up"), ("up", "conv", "up")])
def test_where_no_image_fits_samples_are_collected_map_by_map(
    network: TracedNetwork, images: Tensor, monkeypatch: pytest.MonkeyPatch, order: tuple[str, ...]
) -> None:
    """Each is what it is without a limit; the moments are of all images, and computed once."""
    monkeypatch.setattr(samples, "SAMPLE_BYTES", 100)
    seen: list[int] = []
    network.module.stem.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    statistics, expected = Statistics(network, images, 10), captured(network, images)
    seen.clear()
    for name in order:
        for _ in range(2):
            agree(statistics[name].before, expected[name][0], 1)
            agree(statistics[name].after, expected[name][1], 1)
    assert seen == [10, *[1] * (len(order) - (order[0] == "conv"))]


class Deep(nn.Module):
    """Ten maps of 8×256×256, half of them with a nonlinearity."""

    def __init__(self) -> None:
        super().__init__()
        layers = [nn.Conv2d(3 if index == 0 else 8, 8, 3, 2 if index == 0 else 1, 1) for index in range(11)]
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        for index, layer in enumerate(self.layers):
            x = torch.relu(layer(x)) if index % 2 else layer(x)
        return x


def test_memory_does_not_grow_with_images_nor_with_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A map of 3×512×512 takes 2 MiB, 32 MiB for all images, and both sides of all maps of one image 40 MiB."""
    sample, batch = 20 << 20, 4 * (2 << 20)
    monkeypatch.setattr(samples, "SAMPLE_BYTES", sample)
    monkeypatch.setattr(batches, "_LARGEST", 4 * 8 * 256 * 256)
    network = trace(Deep(), (3, 512, 512))
    images = torch.randn(16, 3, 512, 512, generator=torch.Generator().manual_seed(0))
    assert peak_live_bytes(lambda: collect(network, images)) < sample + 3 * batch


def test_a_histogram_counts_the_sample(network: TracedNetwork, images: Tensor) -> None:
    side = Statistics(network, images)["conv"].after
    counts, edges = side.histogram(bins=7)
    expected, expected_edges = numpy.histogram(side.sample.numpy(), bins=7)
    assert counts.tolist() == expected.tolist()
    numpy.testing.assert_allclose(edges, expected_edges, atol=1e-6)
    assert Statistics(network, images)["conv"].after.covariance.diagonal().min() > 0


def test_the_covariance_survives_a_large_mean() -> None:
    """fp32 products of values near 100 lose what differs by 0.01."""
    network = trace(nn.Sequential(nn.Conv2d(1, 2, 1), nn.Conv2d(2, 1, 1)), (1, 16, 16))
    with torch.no_grad():
        network.module.get_submodule("0").weight.fill_(1e-2)
        network.module.get_submodule("0").bias.fill_(100)
    images = torch.randn(64, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    after = Statistics(network, images)["1"].after
    numpy.testing.assert_allclose(after.covariance, numpy.full((2, 2), 1e-4), rtol=0.05)
