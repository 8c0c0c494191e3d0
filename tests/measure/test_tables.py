"""Static tables, counted by hand, of what remains behind folding."""

import torch
from torch import Tensor, nn

from actbench.codec import Codec, Folded, Payload, PlainCodec, UniformQuantizer
from actbench.codec.modules import pointwise
from actbench.measure.tables import static_bits
from actbench.network.deploy import deploy
from actbench.network.splice import splice
from actbench.network.trace import trace

SIZE = (3, 8, 8)
CLIP = 2 * 32
"""Both ends of a quantiser's clip."""


class Bottleneck(Codec):
    """Two of C channels, with ends that fold, or stay inside."""

    def __init__(self, channels: int, side: str, *, folds: bool) -> None:
        super().__init__()
        vars(self)["side"] = side
        self.folds = folds
        self.project, self.expand = pointwise(torch.randn(2, channels)), pointwise(torch.randn(channels, 2))
        self.core = PlainCodec(UniformQuantizer(8, -2, 2))

    def encode(self, x: Tensor) -> Payload:
        return self.core.encode(self.project(x))

    def decode(self, payload: Payload) -> Tensor:
        return self.expand(self.core.decode(payload))

    def fold(self) -> Folded | None:
        return Folded(self.core, self.project, self.expand) if self.folds else None


def tables(codec: Codec, *between: nn.Module, weights: int = 4) -> int:
    """Of the only map, of four channels."""
    network = trace(
        nn.Sequential(nn.Conv2d(3, 4, 3), *between, nn.Conv2d(4, 5, 3), nn.ReLU(), nn.Conv2d(5, 2, 1)), SIZE
    )
    name = network.maps[0].name
    deployed = deploy(splice(network, {name: codec}), weights)
    return static_bits(deployed, weights)[name]


def test_what_is_part_of_a_convolution_is_no_table() -> None:
    assert Bottleneck(4, "after", folds=True).static_bits() == CLIP + 32 * 16
    assert tables(Bottleneck(4, "after", folds=True)) == CLIP


def test_a_projection_that_cannot_fold_is_one() -> None:
    """Behind the nonlinearity: eight weights of 4 bits, and a step for each of two output channels."""
    assert tables(Bottleneck(4, "after", folds=True), nn.ReLU()) == CLIP + 4 * 8 + 32 * 2


def test_weights_inside_a_codec_are_counted_as_they_are_quantised() -> None:
    assert tables(Bottleneck(4, "after", folds=False)) == CLIP + 4 * 16 + 32 * (2 + 4)
    assert tables(Bottleneck(4, "after", folds=False), weights=32) == CLIP + 32 * 16
