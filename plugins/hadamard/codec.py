"""A rotation around a codec."""

from __future__ import annotations

from torch import Tensor

from actbench.codec import Codec, PlainCodec
from actbench.codec.linear_ends import LinearEnds
from actbench.codec.modules import pointwise


class RotatedCodec(LinearEnds):
    """Stores `z = R x` of all channels, R (C, C) orthogonal, and decodes `x̂ = Rᵀ ẑ`."""

    def __init__(self, rotation: Tensor, core: Codec) -> None:
        super().__init__(core, pointwise(rotation.T), pointwise(rotation))


class RotatedPlainCodec(RotatedCodec):
    """Stores z in plain codes, of which each channel can have a clip of its own."""

    def __init__(self, rotation: Tensor, core: PlainCodec) -> None:
        super().__init__(rotation, core)
        self.plain = core

    def clip_channels(self, x: Tensor) -> None:
        """Gives each rotated channel of a batch x its clip of least squared error."""
        assert self.project is not None
        self.plain.clip_channels(self.project(x))
