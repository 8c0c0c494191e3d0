"""An index into a codebook for each group of channels at each position."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from actbench.codec import FeatureMap, Payload, StraightThroughCodec, unsigned
from actbench.codec.block_codes import in_blocks
from actbench.info import OptionValue
from actbench_plugins.codebook.clustering import codebooks, looked_up, nearest

_LEVELS = 255
"""The largest code of a value of a codeword."""


class CodebookCodec(StraightThroughCodec):
    """Divides each position's channels into groups of g, the last one filled up with zeros, and stores of each group
    the number of the nearest of the `2^b` codewords of its own codebook: `H·W·⌈C/g⌉·b` bits, static.

    Codebooks are static tables: codewords in codes of 8 bits, and for each channel their least value and a step in
    fp32, `⌈C/g⌉·g·(8·2^b + 64)` bits.
    """

    codes: Tensor
    low: Tensor
    step: Tensor

    def __init__(self, channels: int, books: Tensor) -> None:
        """`books` (groups, 2^b, g): codewords, rounded here to their codes."""
        super().__init__()
        self.channels = channels
        self.width = books.shape[1].bit_length() - 1
        low, high = books.amin(1, keepdim=True), books.amax(1, keepdim=True)
        step = ((high - low) / _LEVELS).clamp_min(1e-12)
        self.register_buffer("low", low)
        self.register_buffer("step", step)
        self.register_buffer("codes", ((books - low) / step).round().clamp(0, _LEVELS).to(torch.uint8))

    @override
    def decode_codes(self, payload: Payload) -> Tensor:
        index = payload["index"]
        groups, columns = index.shape[1], index.shape[2:]
        vectors = looked_up(self._books(torch.float32), index.long().transpose(0, 1).reshape(groups, -1))
        blocks: Tensor = vectors.unflatten(1, (-1, *columns)).permute(1, 0, 4, 2, 3)
        return blocks.flatten(1, 2)[:, : self.channels].to(index.dtype)

    @override
    def describe(self) -> dict[str, OptionValue]:
        return {"index": self.width, "channels": self.codes.shape[2]}

    @override
    def encode_codes(self, x: Tensor) -> Payload:
        # In fp64: a product in fp32 rounds otherwise for a batch of another size, and then an index here and there.
        found = nearest(grouped(x.double(), self.codes.shape[2]), self._books(torch.float64))
        index = found.unflatten(1, (-1, *x.shape[2:])).transpose(0, 1)
        # The index's type tells `decode` the map's: half precision holds 8 bits exactly.
        return Payload(index=unsigned(index.to(x.dtype), self.width))

    def _books(self, dtype: torch.dtype) -> Tensor:
        """The codewords (groups, 2^b, g) as they are stored."""
        return self.codes.to(dtype) * self.step.to(dtype) + self.low.to(dtype)


def grouped(x: Tensor, block: int) -> Tensor:
    """Divides maps (batch, C, H, W) into vectors of `block` neighbouring channels, (⌈C/block⌉, batch·H·W, block)."""
    return in_blocks(x, block).permute(1, 0, 3, 4, 2).flatten(1, 3)


def stored_bits(fmap: FeatureMap, block: int, width: int) -> int:
    """Counts the bits of one image's map in groups of `block` channels and indices of `width` bits."""
    return fmap.positions * -(-fmap.channels // block) * width


def learned(sample: Tensor, block: int, width: int) -> CodebookCodec:
    """The codec of codebooks that are learned on a sample (images, C, H, W)."""
    return CodebookCodec(sample.shape[1], codebooks(grouped(sample.float(), block), 1 << width))
