"""Strings of bits for a batch of images: written and read for all images at once, and the zero-value code.

A bit is a uint8 of 0 or 1. The strings of a batch lie one after the other; no operation loops over values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy
import torch
from torch import Tensor
from torch.nn import functional

_LONGEST_SYMBOL = 33
"""Bits that fit into two words of 32 wherever in the first one they begin."""

_WORD = 0xFFFFFFFF

_TABLE_WIDTH = 8
"""Values of up to this width are turned into bits by a table."""


@dataclass(frozen=True)
class Stream:
    """Strings of bits for a batch of images, one after the other: `bits` (total,) uint8 of zeros and ones, `lengths`
    (batch,) int64, how many bits each image has."""

    bits: Tensor
    lengths: Tensor

    @property
    def starts(self) -> Tensor:
        """Positions (batch,) int64 in `bits` at which each image's string begins."""
        return self.lengths.cumsum(0) - self.lengths

    def strings(self) -> list[Tensor]:
        """Bits of each image, as a list of views."""
        return list(self.bits.split(self.lengths.tolist()))

    def split(self, images: int) -> list[Stream]:
        """Splits the batch into streams of `images` images each, the last of what remains; they are views."""
        parts = self.lengths.split(images) if len(self.lengths) else []
        bits = self.bits.split([int(part.sum()) for part in parts])
        return [Stream(strings, lengths) for strings, lengths in zip(bits, parts, strict=True)]

    def select(self, images: Tensor) -> Stream:
        """Selects the strings of some images, by their indices `images` (n,), in that order."""
        strings = self.strings()
        return _gather([strings[i] for i in images.tolist()], self, self.lengths[images])

    def divide(self, *lengths: Tensor) -> tuple[Stream, ...]:
        """Divides each string: into parts of so many bits, (batch,) for each part, and what follows them."""
        sizes = [*lengths, self.lengths - torch.stack(lengths).sum(0)]
        parts = self.bits.split(torch.stack(sizes, 1).flatten().tolist())
        return tuple(_gather(parts[number :: len(sizes)], self, size) for number, size in enumerate(sizes))


def concatenate(streams: Sequence[Stream]) -> Stream:
    """Concatenates batches: the strings of all streams, in their order."""
    return Stream(torch.cat([stream.bits for stream in streams]), torch.cat([stream.lengths for stream in streams]))


def join(*streams: Stream) -> Stream:
    """Joins streams of the same images: for each image its string in the first one, then that in the second one, and so
    on."""
    parts = [string for strings in zip(*(stream.strings() for stream in streams), strict=True) for string in strings]
    return _gather(parts, streams[0], torch.stack([stream.lengths for stream in streams]).sum(0))


def symbols(values: Tensor, lengths: Tensor, counts: Tensor) -> Stream:
    """Writes integers `values` (symbols,), each in as many bits as `lengths` (symbols,) says, 0 to 33.

    `counts` (batch,): how many of the symbols belong to each image. Raises ValueError for longer symbols.
    """
    return Stream(_expand(*_in_words(*_merged(values, lengths))), segment_sums(lengths, counts))


def to_bits(values: Tensor, width: int) -> Tensor:
    """Writes integers (...) in `width` bits each → (..., width) uint8, the most significant bit first."""
    if width <= _TABLE_WIDTH:
        rows = _bit_table(width).to(values.device).index_select(0, values.flatten().to(torch.int32))
        return rows.unflatten(0, values.shape) if values.dim() > 1 else rows
    high = to_bits(values >> _TABLE_WIDTH, width - _TABLE_WIDTH)
    return torch.cat([high, to_bits(values & 255, _TABLE_WIDTH)], dim=-1)


def from_bits(bits: Tensor, width: int) -> Tensor:
    """Reads integers from their bits (..., width), the most significant first → (...) of `code_type(width)`."""
    if width == 8:
        return pack_bits(bits).view(bits.shape[:-1])
    values = torch.zeros(bits.shape[:-1], dtype=code_type(width), device=bits.device)
    for plane in range(width):
        values = (values << 1) | bits[..., plane]
    return values


def pack_bits(bits: Tensor) -> Tensor:
    """Packs bits (...), bool or uint8 of 0 and 1, into bytes → (⌈n/8⌉,) uint8."""
    flat = bits.flatten()
    if flat.device.type == "cpu":
        return torch.from_numpy(numpy.packbits(flat.numpy()))
    padded = functional.pad(flat.byte(), (0, -len(flat) % 8)).reshape(-1, 8)
    return (padded << torch.arange(7, -1, -1, device=flat.device)).sum(1, dtype=torch.uint8)


def code_type(width: int) -> torch.dtype:
    """Type of integers that hold unsigned codes of `width` bits: uint8 up to 8 bits, int32 up to 31, int64 beyond."""
    if width <= 8:
        return torch.uint8
    return torch.int32 if width < 32 else torch.int64


def true_positions(mask: Tensor) -> Tensor:
    """Positions (n,) int64, in the flat form, at which a mask of bool, or bits of uint8, is true.

    On a CPU NumPy finds them an order faster than torch, and bits three times faster as booleans than as numbers.
    """
    flat = mask.flatten()
    flat = flat.view(torch.bool) if flat.dtype == torch.uint8 else flat
    if flat.device.type == "cpu":
        return torch.from_numpy(numpy.flatnonzero(flat.numpy()))
    return flat.nonzero()[:, 0]


def segment_sums(values: Tensor, counts: Tensor) -> Tensor:
    """Sums consecutive segments of `values` (n,), of `counts` (batch,) elements each → (batch,) int64."""
    sums = [part.sum(dtype=torch.int64) for part in values.split(counts.tolist())]
    return torch.stack(sums) if sums else counts


def zero_value_lengths(codes: Tensor, width: int) -> Tensor:
    """Counts the bits of the zero-value code of `codes` (batch, n), one a value and `width` a non-zero one → (batch,)
    int64."""
    return codes.shape[1] + width * (codes != 0).count_nonzero(1)


def zero_value_encode(codes: Tensor, width: int) -> Stream:
    """Writes codes (batch, n) as a bit-map of the non-zero ones, followed by these, in `width` bits each."""
    nonzero = codes != 0
    amounts = torch.full((len(codes),), codes.shape[1], device=codes.device)
    values = codes.flatten().index_select(0, true_positions(nonzero))
    return join(
        Stream(nonzero.view(torch.uint8).flatten(), amounts),
        Stream(to_bits(values, width).flatten(), nonzero.count_nonzero(1) * width),
    )


def zero_value_decode(stream: Stream, count: int, width: int) -> Tensor:
    """Reads the codes (batch, count) that `zero_value_encode` wrote."""
    bitmap, values = stream.divide(torch.full_like(stream.lengths, count))
    codes = torch.zeros(len(bitmap.bits), dtype=code_type(width), device=stream.bits.device)
    codes.scatter_(0, true_positions(bitmap.bits), from_bits(values.bits.reshape(-1, width), width))
    return codes.reshape(len(stream.lengths), count)


def _gather(parts: Sequence[Tensor], stream: Stream, lengths: Tensor) -> Stream:
    """A stream of the parts, or a view of the only one."""
    bits = parts[0] if len(parts) == 1 else torch.cat([stream.bits[:0], *parts])
    return Stream(bits, lengths)


def _merged(values: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
    """Merges symbols into fewer, longer ones, in int64: neighbours become one as often as they surely fit into two
    words."""
    longest = int(sizes.max()) if len(sizes) else 0
    if longest > _LONGEST_SYMBOL:
        raise ValueError(f"a symbol of {longest} bits: at most {_LONGEST_SYMBOL} are written at once")
    for dtype, most in ((torch.int32, 31), (torch.int64, _LONGEST_SYMBOL)):
        if longest > most:
            continue
        sizes = sizes.to(dtype)
        values = (1 << sizes).sub_(1).bitwise_and_(values)
        while len(sizes) > 1 and 2 * longest <= most:
            if len(sizes) % 2:
                values, sizes = functional.pad(values, (0, 1)), functional.pad(sizes, (0, 1))
            values = (values[::2] << sizes[1::2]) | values[1::2]
            sizes, longest = sizes[::2] + sizes[1::2], 2 * longest
    return values, sizes


def _in_words(values: Tensor, sizes: Tensor) -> tuple[Tensor, int]:
    """Writes symbols, int64, one after the other into words of 32 bits, and counts their bits. The values are used up:
    tensors of their size are most of what a coder needs."""
    ends = sizes.cumsum(0)
    total = int(ends[-1]) if len(ends) else 0
    starts = ends.sub_(sizes)
    values <<= (64 - sizes).sub_(starts & 31)
    # A symbol begins in one word and may end in the next. No two have a bit in common: sums put them together.
    words, word = values.new_zeros(total // 32 + 2), starts.bitwise_right_shift_(5)
    words.index_add_(0, word, (values >> 32).bitwise_and_(_WORD))
    words.index_add_(0, word.add_(1), values.bitwise_and_(_WORD))
    return words.int(), total


def _expand(integers: Tensor, total: int) -> Tensor:
    """Expands integers (n,) to their first `total` bits, the most significant first."""
    if integers.device.type == "cpu":
        return torch.from_numpy(numpy.unpackbits(integers.numpy().byteswap().view(numpy.uint8), count=total))
    size = 8 * integers.element_size()
    return torch.stack([(integers >> place) & 1 for place in range(size - 1, -1, -1)], 1).byte().flatten()[:total]


@lru_cache
def _bit_table(width: int) -> Tensor:
    shifts = torch.arange(width - 1, -1, -1)
    return ((torch.arange(1 << width)[:, None] >> shifts) & 1).to(torch.uint8)
