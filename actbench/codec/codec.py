"""Codec: what encodes one feature map, and decodes what it stored."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor, nn

from actbench.codec.payload import Payload
from actbench.errors import InvalidCodec
from actbench.info import OptionValue

Side = Literal["before", "around", "after"]
"""Where a codec stands: before the nonlinearity, around it, or behind it."""


class Codec(nn.Module, ABC):
    """Encodes one feature map, a batch at a time, and decodes what it stored.

    `side` says where it stands. `after`: it encodes the map as the next layer reads it. `before`: it encodes the
    tensor before the nonlinearity; what `decode` gives goes through nonlinearity and pooling. `around`: it encodes the
    tensor before the nonlinearity, and `decode` gives the map as the next layer reads it.
    """

    side: ClassVar[Side] = "after"

    @abstractmethod
    def encode(self, x: Tensor) -> Payload:
        """Encodes a batch `x` (batch, C, H, W), floating-point, to a payload: all that is stored of each image."""

    @abstractmethod
    def decode(self, payload: Payload) -> Tensor:
        """Decodes what `encode` stored to (batch, C, H, W), from the payload alone: whatever the codec remembers from
        `encode` must not be used here."""

    def forward(self, x: Tensor) -> Tensor:
        """Computes `decode(encode(x))`."""
        return self.decode(self.encode(x))

    def describe(self) -> dict[str, OptionValue]:
        """Describes what was chosen for this map, for the record: rank, width, …; plain values by their names."""
        return {}

    def static_bits(self) -> int:
        """Counts the bits of the tables that encoding or decoding needs and no image changes, weights in fp32: shown
        beside the footprint, of the deployed form and with weights as they are quantised there."""
        tensors = {id(tensor): tensor for tensor in [*self.parameters(), *self.buffers()]}
        return sum(tensor.numel() * tensor.element_size() * 8 for tensor in tensors.values())

    def operations(self, shape: tuple[int, int, int]) -> int:
        """Counts the bit operations that one image of `shape` (C, H, W) costs beyond the convolutions that a FLOP
        counter sees."""
        return 0

    def fallbacks(self, payload: Payload) -> Tensor | None:
        """Marks, (batch,) bool, the images for which a cheaper setting than the planned one was needed to stay under
        the ceiling; None for a codec whose bits do not depend on the image."""
        return None

    def fold(self) -> Folded | None:
        """Takes off the linear ends that can become part of the convolutions around this map, or returns None."""
        return None


@dataclass(frozen=True)
class Folded:
    """A codec taken apart: `codec = expand ∘ core ∘ project` with linear 1×1 ends, either of which may be missing.

    `expand` must have no bias: behind zero padding a folded bias would be wrong at the borders.
    """

    core: Codec
    project: nn.Conv2d | None = None
    expand: nn.Conv2d | None = None

    def __post_init__(self) -> None:
        if self.expand is not None and self.expand.bias is not None:
            raise InvalidCodec("expand has a bias: it cannot fold exactly into a convolution with zero padding")
