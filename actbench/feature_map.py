"""FeatureMap: the description of a tensor that a network writes to memory between layers. No torch needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

FLOAT_BITS = 32
"""Bits of a value in the reference, fp32: every ratio is against it unless it says otherwise."""

Maps = Literal["live", "conv-inputs"]
"""Which tensors of a network are its feature maps: all that is in memory while a layer computes, or what convolutions
read."""

Argument = bool | int | float | str | tuple[int, ...] | tuple[float, ...]

_NONNEGATIVE = ("relu", "relu6", "sigmoid", "hardsigmoid", "softplus")


@dataclass(frozen=True)
class Operation:
    """A step between a map's source and the map, for example ReLU or max-pooling, as plain data: of PReLU the slopes
    that it has when the network is traced."""

    name: str
    arguments: tuple[tuple[str, Argument], ...] = ()

    @property
    def by_channel(self) -> bool:
        """Whether it does something else to each channel: to other channels it cannot be applied."""
        return self.name == "prelu" and len(cast("tuple[float, ...]", dict(self.arguments)["weight"])) > 1

    @property
    def nonnegative(self) -> bool:
        """Whether nothing that it gives is negative, whatever it gets."""
        given = dict(self.arguments)
        if self.name == "hardtanh":
            return float(cast(float, given.get("min_val", -1.0))) >= 0
        if self.name == "leaky_relu":
            return float(cast(float, given.get("negative_slope", 0.01))) <= 0
        if self.name == "prelu":
            return all(slope <= 0 for slope in cast("tuple[float, ...]", given["weight"]))
        return self.name in _NONNEGATIVE


@dataclass(frozen=True)
class Reader:
    """A layer or function that reads a map: `operation` is `conv`, `conv_transpose`, `linear`, `attention` or the
    name of a function such as `add`."""

    name: str
    operation: str
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    groups: int = 1

    @property
    def pointwise(self) -> bool:
        """Whether it is a dense 1×1 convolution (or a linear layer over channels)."""
        return self.operation in ("conv", "linear") and self.kernel == (1, 1) and self.groups == 1


@dataclass(frozen=True)
class Lifetime:
    """When a tensor is in memory: the number of the layer that has `written` it, and of the last one that computes
    while it is `read`. `beside`: bits in fp32 of tensors that are no maps and are there too, at each moment in turn;
    `elsewhere`: the most that they have while no map is there, the same for all maps. Unless the network says
    otherwise, all maps are there at once."""

    written: int = 0
    read: int = 0
    beside: tuple[int, ...] = (0,)
    elsewhere: int = 0

    def bits_beside(self, moment: int) -> int:
        """Bits of what is no map at a moment of the lifetime."""
        return self.beside[moment - self.written]


@dataclass(frozen=True)
class Layout:
    """How a tensor of a network holds a map. Without an `order` it is (batch, C, H, W).

    `order`: its dimensions in the order batch, positions, channels. `sizes`: those behind the batch, where a map has
    others, tokens (N, C) or a window (h, w, C); the map is then C×H×W with H×W as its `grid`, and an image's windows
    are one under the other. `actbench.codec.layouts` lays tensors out.
    """

    order: tuple[int, ...] = ()
    sizes: tuple[int, ...] = ()
    grid: tuple[int, ...] = ()

    @property
    def channels_first(self) -> bool:
        """Whether the tensor is the map as codecs get it."""
        return not self.order


CHANNELS_FIRST = Layout()
"""(batch, C, H, W)."""

CHANNELS_LAST = Layout((0, 1, 2, 3))
"""(batch, H, W, C)."""


@dataclass(frozen=True)
class FeatureMap:
    """One feature map of one image: C×H×W, named after the first layer that reads it.

    `between` are the steps from the *source* (the tensor before the nonlinearity, of size `source`, H×W) to the map
    itself: nonlinearity and pooling, in their order. A map that no nonlinearity precedes is its own source. `alive`:
    when it is in memory. `layout`: how the network's tensor holds it; of tokens (batch, N, C) the map is C×h×w where N
    is h·h, and C×N×1 otherwise.
    """

    name: str
    channels: int
    height: int
    width: int
    producer: str
    readers: tuple[Reader, ...]
    between: tuple[Operation, ...] = ()
    source: tuple[int, int] = (0, 0)
    layout: Layout = CHANNELS_FIRST
    alive: Lifetime = Lifetime()

    @property
    def positions(self) -> int:
        """H·W."""
        return self.height * self.width

    @property
    def elements(self) -> int:
        """C·H·W."""
        return self.channels * self.positions

    @property
    def bits(self) -> int:
        """Bits of the map in fp32."""
        return self.elements * FLOAT_BITS

    @property
    def shared(self) -> bool:
        """Whether several layers read it; it is stored once all the same."""
        return len(self.readers) > 1

    @property
    def nonnegative(self) -> bool:
        """Whether its values cannot be negative, so that no code is spent on a sign."""
        return any(operation.nonnegative for operation in self.between)
