"""Blocks of channels with a scale each: a position's neighbouring channels in an element format, and what multiplies
them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from actbench.codec.element_formats import ElementFormat
from actbench.codec.payload import Payload, signed, unsigned
from actbench.codec.straight_through import StraightThroughCodec
from actbench.feature_map import FeatureMap
from actbench.info import OptionValue

_IMAGES = 16
"""Images of a sample on which codecs are compared."""


class BlockScale(Protocol):
    """What a block's values are divided by before they are rounded, in a code of `bits` bits."""

    @property
    def bits(self) -> int:
        """Bits of a code."""

    def encode(self, largest: Tensor) -> Tensor:
        """Chooses scales, as codes, from the largest magnitude in each block, fp32 of any shape."""

    def decode(self, codes: Tensor) -> Tensor:
        """Gives the scales, fp32 above zero, that codes stand for."""


@dataclass(frozen=True)
class PowerOfTwo:
    """The least power of two, `2^(code − 127)`, by which the largest magnitude is divided to less than `reach`; codes
    are 1 to 254, those of E8M0 without its least number and without NaN.

    Example:
        >>> scale = PowerOfTwo(8.0)
        >>> codes = scale.encode(torch.tensor([7.9, 8.0, 0.0]))
        >>> codes.tolist(), scale.decode(codes).tolist()
        ([127, 128, 1], [1.0, 2.0, 1.1754943508222875e-38])
    """

    reach: float
    bits: int = 8

    def encode(self, largest: Tensor) -> Tensor:
        """Chooses scales."""
        exponents = (largest / self.reach).view(torch.int32) >> 23
        return (exponents + 1).clamp(1, 254)

    def decode(self, codes: Tensor) -> Tensor:
        """Gives the scales."""
        return (codes.int() << 23).view(torch.float32)


class BlockCodec(StraightThroughCodec):
    """A codec that stores each position's channels in blocks, the last one filled up with zeros: of every block the
    code of a scale and, divided by the scale, the values as codes of an element format.

    `H·W·⌈C/block⌉·(block·element bits + scale bits)` bits, static.
    """

    def __init__(self, channels: int, block: int, element: ElementFormat, scale: BlockScale) -> None:
        super().__init__()
        self.channels = channels
        self.block = block
        self.element = element
        self.scale = scale

    @override
    def decode_codes(self, payload: Payload) -> Tensor:
        codes, scales = payload["codes"], payload["scales"]
        blocks = self.element.decode(codes.unflatten(1, (-1, self.block)))
        values = blocks * self.scale.decode(scales)[:, :, None]
        return values.flatten(1, 2)[:, : self.channels].to(codes.dtype)

    @override
    def describe(self) -> dict[str, OptionValue]:
        return {"format": self.element.name, "block": self.block}

    @override
    def encode_codes(self, x: Tensor) -> Payload:
        blocks = in_blocks(x.float(), self.block)
        scales = self.scale.encode(blocks.abs().amax(2))
        codes = self.element.encode(blocks / self.scale.decode(scales)[:, :, None])
        # The codes' type tells `decode` the map's: half precision holds 8 bits exactly.
        field = signed if self.element.signed else unsigned
        stored = field(codes.flatten(1, 2).to(x.dtype), self.element.bits)
        return Payload(codes=stored, scales=unsigned(scales.to(torch.uint8), self.scale.bits, side=True))


def in_blocks(x: Tensor, block: int) -> Tensor:
    """Divides channels (batch, C, H, W) into blocks, the last one filled up with zeros → (batch, ⌈C/block⌉, block, H,
    W)."""
    missing = -x.shape[1] % block
    filled = functional.pad(x, (0, 0, 0, 0, 0, missing)) if missing else x
    blocks: Tensor = filled.unflatten(1, (-1, block))
    return blocks


def stored_bits(fmap: FeatureMap, block: int, element_bits: int, scale_bits: int) -> int:
    """Counts the bits of one image's map in blocks, with what fills up the last one of each position."""
    return fmap.positions * -(-fmap.channels // block) * (block * element_bits + scale_bits)


@torch.no_grad()
def least_error(codecs: Iterable[BlockCodec], sample: Tensor) -> BlockCodec:
    """Chooses the codec with the least squared error on the first images of a sample (images, C, H, W)."""
    images = sample[:_IMAGES]
    return min(codecs, key=lambda codec: float((codec(images) - images).square().sum()))
