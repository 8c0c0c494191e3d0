"""MACs and bit operations against hand counts."""

from collections.abc import Mapping

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actbench.codec import Codec, Folded, Payload, PlainCodec, UniformQuantizer, floating, unsigned
from actbench.feature_map import FeatureMap
from actbench.measure.compute import bit_operations, count
from actbench.measure.footprint import Meter
from actbench.network.deploy import deploy
from actbench.network.splice import Spliced, splice
from actbench.network.trace import TracedNetwork, trace

SIZE = (3, 8, 8)


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.depthwise = nn.Conv2d(4, 4, 3, 2, 1, groups=4)
        self.point = nn.Conv2d(4, 6, 1)
        self.head = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        x = F.relu(self.point(F.relu(self.depthwise(x))))
        return self.head(x.mean((2, 3)))


STEM, DEPTHWISE, POINT, HEAD = 64 * 3 * 4 * 9, 16 * 4 * 9, 16 * 4 * 6, 6 * 5


@pytest.fixture
def network() -> TracedNetwork:
    torch.manual_seed(0)
    return trace(Tiny(), SIZE)


def plain(width: int) -> PlainCodec:
    return PlainCodec(UniformQuantizer(width, 0, 1, nonnegative=True))


def operations(network: TracedNetwork, codecs: Mapping[str, Codec], weights: int) -> int:
    deployed = deploy(splice(network, codecs), weights, torch.zeros(1, *SIZE))
    return measured(deployed, weights)


def measured(deployed: Spliced, weights: int) -> int:
    with Meter(deployed) as meter, torch.no_grad():
        deployed.module(torch.rand(2, *SIZE))
    return bit_operations(deployed.module, count(deployed.module, torch.zeros(1, *SIZE)), meter.layouts, weights)


def test_macs_of_one_image(network: TracedNetwork) -> None:
    counts = count(network.module, torch.zeros(1, *SIZE))
    assert counts.macs == {"stem": STEM, "depthwise": DEPTHWISE, "point": POINT, "head": HEAD}
    assert counts.total == STEM + DEPTHWISE + POINT + HEAD
    assert counts.encoded == {}


def test_bit_operations_in_fp32(network: TracedNetwork) -> None:
    assert operations(network, {}, 32) == 32 * 32 * (STEM + DEPTHWISE + POINT + HEAD)


def test_bit_operations_of_w4_with_4_and_2_bits(network: TracedNetwork) -> None:
    """The image has 8 bits; the ends keep 8 bits of weights; what the head reads is not stored."""
    found = operations(network, {"depthwise": plain(4), "point": plain(2)}, 4)
    assert found == 8 * 8 * STEM + 4 * 4 * DEPTHWISE + 4 * 2 * POINT + 8 * 32 * HEAD


def test_bit_operations_of_w8_with_one_map_left_in_fp32(network: TracedNetwork) -> None:
    found = operations(network, {"depthwise": plain(4), "point": PlainCodec(None)}, 8)
    assert found == 8 * 8 * STEM + 8 * 4 * DEPTHWISE + 8 * 32 * POINT + 8 * 32 * HEAD


class Costly(Codec):
    """Ends that are convolutions, which a FLOP counter sees, and a thousand operations that it does not."""

    def __init__(self, fmap: FeatureMap, *, folds: bool = False) -> None:
        super().__init__()
        self.folds = folds
        self.project = nn.Conv2d(fmap.channels, 2, 1)
        self.expand = nn.Conv2d(2, fmap.channels, 1, bias=False)

    def encode(self, x: Tensor) -> Payload:
        return Payload(values=floating(self.project(x)))

    def decode(self, payload: Payload) -> Tensor:
        return self.expand(payload["values"])

    def operations(self, shape: tuple[int, int, int]) -> int:
        return 1000 * shape[0] + shape[1]

    def fold(self) -> Folded | None:
        return Folded(PlainCodec(None), self.project, self.expand) if self.folds else None


def test_a_codecs_own_operations_count(network: TracedNetwork) -> None:
    """Its MACs in fp32: 4·2 channels before and behind what is stored, on 4×4 positions."""
    found = operations(network, {"point": Costly(network.maps[1])}, 8)
    layers = 8 * 8 * STEM + 8 * 32 * (DEPTHWISE + POINT + HEAD)
    assert found == layers + 1000 * 4 + 4 + 32 * 32 * 2 * (16 * 4 * 2)


def test_what_folds_costs_less(network: TracedNetwork) -> None:
    """The projection stays behind the ReLU as an explicit 1×1 convolution; the expansion halves `point`."""
    found = operations(network, {"point": Costly(network.maps[1], folds=True)}, 8)
    explicit = 16 * 4 * 2
    assert found == 8 * 8 * STEM + 8 * 32 * (DEPTHWISE + explicit + POINT // 2 + HEAD)


class SideOnly(Codec):
    """A map whose only field is marked as side information."""

    def encode(self, x: Tensor) -> Payload:
        return Payload(signs=unsigned((x > 0).float(), 1, side=True))

    def decode(self, payload: Payload) -> Tensor:
        return payload["signs"]


def test_a_payload_of_side_information_alone_has_a_width(network: TracedNetwork) -> None:
    found = operations(network, {"point": SideOnly()}, 8)
    assert found == 8 * 8 * STEM + 8 * 32 * (DEPTHWISE + HEAD) + 8 * 1 * POINT


class Before(PlainCodec):
    """Codes on the other side of the nonlinearity."""

    side = "before"


def test_a_layer_behind_the_nonlinearity_of_codes_reads_no_codes(network: TracedNetwork) -> None:
    """Its input is decoded, and any real number."""
    found = operations(network, {"point": Before(UniformQuantizer(4, -1, 1))}, 8)
    assert found == 8 * 8 * STEM + 8 * 32 * (DEPTHWISE + POINT + HEAD)


class Joined(nn.Module):
    """A convolution that reads what two others wrote, one of them pooled."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.join = nn.Conv2d(3, 4, 1, 2), nn.Conv2d(3, 2, 1), nn.Conv2d(6, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.join(torch.cat([self.one(x), F.max_pool2d(self.two(x).relu(), 2)], 1))


def test_a_layer_that_reads_several_maps_reads_the_widest_of_their_codes() -> None:
    network = trace(Joined(), SIZE)
    codecs = {fmap.name: plain(width) for fmap, width in zip(network.maps, (5, 3), strict=True)}
    one, two, join = 16 * 3 * 4, 64 * 3 * 2, 16 * 6 * 5
    assert operations(network, codecs, 8) == 8 * 8 * (one + two) + 8 * 5 * join
