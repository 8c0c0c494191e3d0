"""Codes side by side in bytes, and back: one form for training, for the deployed network, and for the bits that are
counted.

Work goes tile by tile, in memory that stays in the processor's cache, so that little is needed however large the
tensor.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy
import torch
from torch import Tensor

from actbench.codec import _traced_codes
from actbench.codec._merging import Merging, code_size, group_of, on_cpu
from actbench.codec.bit_strings import code_type

_CPU_TILE, _GPU_TILE = 1 << 16, 1 << 22
"""Bytes of a tile: what stays in a CPU's cache, and what is worth the launches of a GPU's kernels."""


_WORDS = {2: numpy.uint32, 4: numpy.uint16}
"""Words of as many bytes as there are codes of so many bits in a byte."""


def pack_codes(codes: Tensor, width: int) -> Tensor:
    """Packs integers (..., n), of any type, in `width` bits each, 1 to 64 → (..., ⌈n·width/8⌉) uint8, the most
    significant bit first, the last byte filled up with zeros.

    Negative ones are packed in two's complement. Nothing is checked: of what does not fit into its bits, something
    else is stored. On the way it needs up to four tiles, of 64 KiB on a CPU and of 4 MiB on a GPU, fewer for a smaller
    tensor; codes that are not contiguous are copied first.
    """
    if _traced_codes.is_traced(codes):
        return _traced_codes.pack(codes, width)
    packed = torch.empty(
        *codes.shape[:-1], packed_bytes(codes.shape[-1], width), dtype=torch.uint8, device=codes.device
    )
    pack_into(packed, codes, width)
    return packed


def unpack_codes(
    packed: Tensor, count: int, width: int, dtype: torch.dtype | None = None, *, signed: bool = False
) -> Tensor:
    """Unpacks what `pack_codes` packed → (..., count), of a type that is by default `code_type(width)`; `signed` where
    the codes are in two's complement. Raises ValueError where `packed` is not as long as so many codes."""
    if _traced_codes.is_traced(packed):
        return _traced_codes.unpack(packed, count, width, dtype or code_type(width), signed=signed)
    codes = torch.empty(*packed.shape[:-1], count, dtype=dtype or code_type(width), device=packed.device)
    unpack_into(codes, packed, width, signed=signed)
    return codes


def pack_into(packed: Tensor, codes: Tensor, width: int) -> None:
    """Packs codes as `pack_codes` does, into a contiguous tensor that is there. Raises ValueError where it is not as
    long as the codes."""
    _check_length(packed, codes, width)
    if width == 8:
        _copy_bytes(packed, codes.detach())
        return
    way = _way(width, codes)
    for some, place in _tiles(codes.detach(), packed, width):
        way.pack(some, place)


def unpack_into(codes: Tensor, packed: Tensor, width: int, *, signed: bool = False) -> None:
    """Unpacks codes as `unpack_codes` does, into a contiguous tensor that is there. Raises ValueError where `packed` is
    not as long as the codes."""
    _check_length(packed, codes, width)
    if width == 8:
        codes.copy_(packed.view(torch.int8) if signed else packed)
        return
    way = _way(width, codes)
    for place, some in _tiles(codes, packed, width):
        way.unpack(some, place, signed)


def packed_bytes(count: int, width: int) -> int:
    """Counts the bytes that `count` codes of `width` bits take, the last of them perhaps in part."""
    return -(-count * width // 8)


def _check_length(packed: Tensor, codes: Tensor, width: int) -> None:
    if packed.shape[-1] != packed_bytes(codes.shape[-1], width):
        raise ValueError(f"{codes.shape[-1]} codes of {width} bits do not fill {packed.shape[-1]} bytes")


def _copy_bytes(packed: Tensor, codes: Tensor) -> None:
    """Codes of 8 bits are bytes already; but a float below zero has none, and becomes an integer first."""
    if not codes.is_floating_point():
        packed.copy_(codes)
        return
    for some, place in _tiles(codes, packed, 8):
        integers = some.to(torch.int16)
        if on_cpu(codes):  # NumPy takes the lower bytes in a fifth of the time
            numpy.copyto(place.numpy(), integers.numpy(), casting="unsafe")
        else:
            place.copy_(integers)


class _Way(Protocol):
    """How codes (rows, n) of one tile become bytes (rows, ⌈n·width/8⌉), and these codes again."""

    def pack(self, codes: Tensor, place: Tensor) -> None: ...

    def unpack(self, packed: Tensor, place: Tensor, signed: bool) -> None: ...


def _way(width: int, codes: Tensor) -> _Way:
    if width == 1 and on_cpu(codes):
        return _SingleBits()
    if width in _WORDS and on_cpu(codes) and not codes.shape[-1] * width % 8:
        return _ByWords(width)
    return Merging(width) if group_of(width) else _ByBits(width, codes)


def _tiles(codes: Tensor, packed: Tensor, width: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Divides codes (..., n), and their packed form, into tiles (rows, some codes) and (rows, their bytes)."""
    if not codes.numel():
        return
    # Where no byte belongs to two rows, all are one.
    count = codes.shape[-1] if codes.shape[-1] * width % 8 else codes.numel()
    codes = codes.reshape(-1, count)
    packed = packed.reshape(len(codes), -1)
    most = _most_codes(codes, width)
    if codes.numel() <= most:  # most often: views are what a few values cost
        yield codes, packed
        return
    rows = max(1, most // max(count, 8))
    for row in range(0, len(codes), rows):
        for first in range(0, count, most):
            columns = slice(first * width // 8, (first + most) * width // 8)
            yield codes[row : row + rows, first : first + most], packed[row : row + rows, columns]


def _most_codes(codes: Tensor, width: int) -> int:
    """How many codes make a tile, a multiple of 8: of those that become bits, fewer."""
    size = code_size(width) if group_of(width) else 8 * code_size(width)
    return (_CPU_TILE if on_cpu(codes) else _GPU_TILE) // size


class _SingleBits:
    """Codes of one bit on a CPU: NumPy has its own way."""

    def pack(self, codes: Tensor, place: Tensor) -> None:
        bits = codes if codes.dtype in (torch.uint8, torch.bool) else codes.to(torch.bool)
        place.copy_(torch.from_numpy(numpy.packbits(bits.numpy(), axis=1)))

    def unpack(self, packed: Tensor, place: Tensor, signed: bool) -> None:
        bits = torch.from_numpy(numpy.unpackbits(packed.numpy(), axis=1, count=place.shape[1]))
        place.copy_(bits.view(torch.int8).neg_() if signed else bits)


class _ByWords:
    """Codes of 2 or 4 bits on a CPU that fill up their bytes: those of one byte are read as one word, the first of them
    in its lowest byte, and all are shifted to their places in few operations of NumPy."""

    def __init__(self, width: int) -> None:
        self._width, self._word = width, _WORDS[width]
        group = 8 // width
        # From its byte in the word to its bits in the byte; to the left where that is positive.
        self._shifts = [8 - (place + 1) * width - 8 * place for place in range(group)]
        self._mask = sum(((1 << width) - 1) << 8 * place for place in range(group))

    def pack(self, codes: Tensor, place: Tensor) -> None:
        narrow = codes.to(torch.int8 if codes.is_floating_point() else torch.uint8)
        words: Any = narrow.contiguous().numpy().view(self._word) & self._mask
        packed = words << self._shifts[0]
        for shift in self._shifts[1:]:
            packed |= words >> -shift
        numpy.copyto(place.numpy(), packed, casting="unsafe")

    def unpack(self, packed: Tensor, place: Tensor, signed: bool) -> None:
        read: Any = packed.numpy().astype(self._word)
        words = read >> self._shifts[0]
        for shift in self._shifts[1:]:
            words |= read << -shift
        words &= self._mask
        codes = words.view(numpy.int8)
        if signed:
            sign = 1 << (self._width - 1)
            codes ^= sign
            codes -= sign
        place.copy_(torch.from_numpy(codes).view(place.shape))


class _ByBits:
    """Codes of a width that has no group: they become integers of whole bytes, and these a byte a bit, on the way."""

    def __init__(self, width: int, codes: Tensor) -> None:
        self._width, self._whole = width, 8 * code_size(width)
        self._integers, self._bits = _way(self._whole, codes), _way(1, codes)

    def pack(self, codes: Tensor, place: Tensor) -> None:
        (rows, count), whole = codes.shape, self._whole
        packed = place.new_empty(rows, count * whole // 8)
        self._integers.pack(codes, packed)
        bits = place.new_empty(rows, count * whole)
        self._bits.unpack(packed, bits, False)
        self._bits.pack(bits.view(rows, count, whole)[..., whole - self._width :].reshape(rows, -1), place)

    def unpack(self, packed: Tensor, place: Tensor, signed: bool) -> None:
        (rows, count), whole = place.shape, self._whole
        own = packed.new_empty(rows, count * self._width)
        self._bits.unpack(packed, own, False)
        own, bits = own.view(rows, count, self._width), packed.new_zeros(rows, count, whole)
        bits[..., whole - self._width :] = own
        if signed:
            bits[..., : whole - self._width] = own[..., :1]
        integers = packed.new_empty(rows, count * whole // 8)
        self._bits.pack(bits.view(rows, -1), integers)
        self._integers.unpack(integers, place, signed)
