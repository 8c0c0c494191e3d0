"""Other ways of counting, against hand counts on networks small enough to count."""

from collections.abc import Mapping

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actbench.budget import Ceiling
from actbench.feature_map import Maps
from actbench.live_shares import live_bits
from actbench.network.conventions import activation_bits, live_peak
from actbench.network.trace import TracedNetwork, trace

PIXELS = 8 * 8


class Chain(nn.Module):
    """conv → ReLU → conv → ReLU → pool → conv → ReLU; 4, 5 and 6 channels at 8×8, 8×8 and 4×4."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = (
            nn.Conv2d(3, 4, 3, padding=1),
            nn.Conv2d(4, 5, 3, padding=1),
            nn.Conv2d(5, 6, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.c(F.max_pool2d(F.relu(self.b(F.relu(self.a(x)))), 2)))


class Wide(nn.Module):
    """conv → ReLU → pool → linear → linear → linear; 2 channels at 8×8, then 4, 600, 500 and 2 values."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.next = nn.Conv2d(3, 2, 3, padding=1), nn.Conv2d(2, 4, 3, padding=1)
        self.wide, self.less, self.last = nn.Linear(4, 600), nn.Linear(600, 500), nn.Linear(500, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.adaptive_avg_pool2d(F.relu(self.next(F.relu(self.conv(x)))), 1).flatten(1)
        return self.last(F.relu(self.less(F.relu(self.wide(x)))))  # type: ignore[no-any-return]


class Skips(nn.Module):
    """A strided block as torchvision writes it: the skip's convolution comes after the branch; 4 and 8 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.conv1, self.conv2 = nn.Conv2d(4, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, padding=1)
        self.skip = nn.Conv2d(4, 8, 1, 2)
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        y = self.conv2(F.relu(self.conv1(x)))
        return self.head(F.relu(y + self.skip(x)))


class ChannelsLast(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.up, self.down = nn.Conv2d(3, 4, 1), nn.Linear(4, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.gelu(self.up(self.stem(x).permute(0, 2, 3, 1))))


class Forked(nn.Module):
    """One ReLU, read as it is and pooled."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.plain, self.pooled = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1), nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = F.relu(self.stem(x))
        return self.plain(x), self.pooled(F.max_pool2d(x, 2))


def whole(network: TracedNetwork) -> dict[str, int]:
    return {fmap.name: fmap.bits for fmap in network.maps}


def activations(network: TracedNetwork, stored: Mapping[str, int], side: str) -> list[int]:
    return activation_bits(network, whole(network) | stored, dict.fromkeys(stored, side))


@pytest.mark.parametrize(
    ("side", "pooled"), [("after", 5 * PIXELS * 32), ("before", 100), ("around", 4 * 100)]
)  # fmt: skip
def test_activations_of_a_chain(side: str, pooled: int) -> None:
    """The last nonlinearity's output is no map: nothing compresses it."""
    network = trace(Chain(), (3, 8, 8))
    assert activations(network, {"b": 70, "c": 100}, side) == [70, pooled, 6 * 16 * 32]


@pytest.mark.parametrize("model", [Chain, Skips, ChannelsLast, Forked])
def test_activations_without_codecs_are_fp32(model: type[nn.Module]) -> None:
    """A plan may leave maps out: they are stored as they are."""
    network = trace(model(), (3, 8, 8))
    assert activations(network, {}, "after") == [fmap.bits for fmap in network.activations]


def test_an_activation_with_channels_last_is_a_map() -> None:
    assert activations(trace(ChannelsLast(), (3, 8, 8)), {"down": 50}, "after") == [50]


def test_an_activation_that_is_read_as_it_is_and_pooled() -> None:
    assert activations(trace(Forked(), (3, 8, 8)), {"plain": 50, "pooled": 20}, "after") == [50]


@pytest.mark.parametrize("maps", ["live", "conv-inputs"])
def test_live_peak_of_a_chain_is_what_is_read_and_what_is_written(maps: Maps) -> None:
    network = trace(Chain(), (3, 8, 8), maps)
    assert live_peak(network, whole(network)) == 4 * PIXELS * 32 + 5 * 16 * 32
    assert live_peak(network, {"b": 70, "c": 100}) == 170
    assert live_peak(network, {"b": 700, "c": 100}) == 800


def test_what_waits_and_is_no_map_is_counted_in_fp32() -> None:
    """`skip` computes while conv2's output waits for it, and writes the sum; the block's input waits until then."""
    network = trace(Skips(), (3, 8, 8), "conv-inputs")
    maps, waiting = whole(network), 8 * 16 * 32
    assert maps == {"conv1": 4 * PIXELS * 32, "conv2": 8 * 16 * 32, "head": 8 * 16 * 32}
    assert live_peak(network, maps) == maps["conv1"] + waiting + maps["head"]
    assert live_peak(network, maps | {"conv1": 10}) == 10 + waiting + maps["head"]
    assert live_peak(network, {"conv1": 10, "conv2": 5, "head": 7}) == 10 + waiting + 7


def test_what_is_there_when_no_map_is_counts_too() -> None:
    """Wide linear layers have more in memory than the convolutions before them: a ceiling is a part of that."""
    network = trace(Wide(), (3, 8, 8))
    maps = network.maps
    assert live_peak(network, {}) == 32 * (600 + 500)
    assert Ceiling.parse("live:2x").limit(maps) == 32 * (600 + 500) // 2
    small = {fmap.name: 8 for fmap in maps}
    assert live_bits(maps, small) == live_peak(network, small) == 32 * (600 + 500)


def test_the_live_peak_is_that_of_one_image() -> None:
    """No image has the most bits of each map: the first has them here, and the second there."""
    network = trace(Chain(), (3, 8, 8))
    stored = {
        fmap.name: torch.tensor([900, 100] if place % 2 else [100, 900]) for place, fmap in enumerate(network.maps)
    }
    of_images = [live_peak(network, {name: int(bits[image]) for name, bits in stored.items()}) for image in range(2)]
    most = {name: int(bits.max()) for name, bits in stored.items()}
    assert live_peak(network, stored) == max(of_images) < live_peak(network, most)


def test_what_waits_is_a_map_by_the_live_convention() -> None:
    network = trace(Skips(), (3, 8, 8))
    assert whole(network) == {"conv1": 4 * PIXELS * 32, "conv2": 8 * 16 * 32, "add": 8 * 16 * 32, "head": 8 * 16 * 32}
    assert live_peak(network, {"conv1": 10, "conv2": 5, "add": 30, "head": 7}) == 10 + 30 + 7


def test_a_pooling_that_keeps_the_size_is_a_pooling() -> None:
    """What a codec behind it stores is not the nonlinearity's output."""
    layers = [nn.Conv2d(3, 4, 1), nn.ReLU(), nn.MaxPool2d(3, 1, 1), nn.Conv2d(4, 2, 1)]
    network = trace(nn.Sequential(*layers), (3, 8, 8))
    assert activations(network, {"3": 50}, "after") == [4 * PIXELS * 32]
    assert activations(network, {"3": 50}, "before") == [50]
