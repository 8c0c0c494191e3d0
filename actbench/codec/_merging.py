"""Codes of a tile become bytes without being taken apart into bits: neighbours are merged two by two, as halves of a
word twice as wide (8 → 16 → 32 → 64 bits), until the bits of a group of codes fill whole bytes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from torch import Tensor

_SIGNED = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_UNSIGNED = {1: torch.uint8, 2: torch.uint16, 4: torch.uint32, 8: torch.uint64}


def on_cpu(tensor: Tensor) -> bool:
    """Whether a tensor is where NumPy can reach it."""
    return tensor.is_cpu


def code_size(width: int) -> int:
    """Bytes of the smallest integers that hold codes of `width` bits: 1, 2, 4 or 8."""
    return next(size for size in _SIGNED if width <= 8 * size)


def group_of(width: int) -> int:
    """Codes of `width` bits that fill whole bytes together; 0 where they fit into no word of 64 bits on the way."""
    codes = 8 // math.gcd(8, width)
    return codes if codes * code_size(width) <= 8 else 0


class Merging:
    """Codes of a width that has a group (`group_of`), packed and unpacked in tiles. Memory for a tile of each shape is
    taken once."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._tiles: dict[tuple[int, int], _Tile] = {}

    def pack(self, codes: Tensor, place: Tensor) -> None:
        """Packs a tile's codes (rows, n) into bytes (rows, ⌈n·width/8⌉)."""
        tile = self._tile(codes, wide=codes.is_floating_point())
        tile.take(codes)
        tile.merge()
        place.copy_(tile.packed[:, : place.shape[1]])

    def unpack(self, packed: Tensor, place: Tensor, signed: bool) -> None:
        """Unpacks the codes of a tile."""
        tile = self._tile(place, wide=False)
        tile.packed[:, : packed.shape[1]].copy_(packed)
        tile.split()
        place.copy_(tile.codes(signed)[:, : place.shape[1]])

    def _tile(self, codes: Tensor, *, wide: bool) -> _Tile:
        rows, count = codes.shape
        if (rows, count) not in self._tiles:
            self._tiles[rows, count] = _Tile(rows, count, self._width, wide, codes.device)
        return self._tiles[rows, count]


@dataclass(frozen=True)
class _Level:
    """Words that pairs merge into, and as much `spare` memory, for operators in place. Of the `half` bits of half a
    word codes have the lowest `width`."""

    words: Any
    spare: Any
    half: int
    width: int


class _Tile:
    """Memory for a tile of codes (rows, n), and what is done in it: `lanes` (rows, groups · word) are the codes and the
    words that they become, `packed` (rows, groups · bytes) their bytes, and `spare` is `wide` where it has to hold the
    codes as integers of twice their size."""

    def __init__(self, rows: int, count: int, width: int, wide: bool, device: torch.device) -> None:
        self._width, self._size, group = width, code_size(width), group_of(width)
        groups, word = -(-count // group), group * self._size
        self._lanes = torch.empty(rows, groups * word, dtype=torch.uint8, device=device)
        self._spare = torch.empty(1 + wide, rows, groups * word, dtype=torch.uint8, device=device)
        self.packed = torch.empty(rows, groups * group * width // 8, dtype=torch.uint8, device=device)
        self._levels = [self._level(size) for size in (1, 2, 4) if self._size <= size < word]
        self._pieces = list(_pieces(self._lanes.view(-1, word), self.packed.view(-1, group * width // 8)))
        self._shift_left: Any = numpy.left_shift if on_cpu(self._lanes) else torch.bitwise_left_shift

    def _level(self, size: int) -> _Level:
        words, spare = _integers(self._lanes, 2 * size), _integers(self._spare[0], 2 * size)
        return _Level(words, spare, 8 * size, self._width * size // self._size)

    def take(self, codes: Tensor) -> None:
        """Copies codes (rows, n): the lowest bits of each."""
        if codes.is_floating_point():  # below zero a float has no unsigned integer
            codes = self._widened(codes)
        if codes.element_size() == self._size:
            codes = codes.view(_SIGNED[self._size])
        lanes = self._lanes.view(_SIGNED[self._size])
        lanes[:, : codes.shape[1]].copy_(codes)
        lanes[:, codes.shape[1] :].zero_()  # what fills up a group: the tile before left its words there
        if self._width < 8 * self._size:
            bits = _integers(lanes, self._size)
            bits &= (1 << self._width) - 1

    def _widened(self, codes: Tensor) -> Tensor:
        dtype = _SIGNED[min(8, 2 * self._size)]
        return self._spare.flatten().view(dtype)[: codes.numel()].view(codes.shape).copy_(codes)

    def codes(self, signed: bool) -> Tensor:
        """The codes (rows, n and those that fill up the last group), as a view."""
        if not signed:
            return self._lanes.view(_UNSIGNED[self._size])
        lanes = self._lanes.view(_SIGNED[self._size])
        if self._width < 8 * self._size:
            codes, sign = _integers(lanes, self._size), 1 << (self._width - 1)
            codes ^= sign
            codes -= sign
        return lanes

    def merge(self) -> None:
        """Merges the codes of each group into a word, and writes its bytes."""
        for level in self._levels:
            words, spare = level.words, level.spare
            self._shift_left(words, level.width, out=spare)
            words >>= level.half
            words |= spare
            words &= (1 << (2 * level.width)) - 1
        for low, high in self._pieces:
            high[...] = low

    def split(self) -> None:
        """Reads each word from its bytes, and splits it into codes."""
        self._lanes.zero_()
        for low, high in self._pieces:
            low[...] = high
        for level in reversed(self._levels):
            words, spare = level.words, level.spare
            self._shift_left(words, level.half, out=spare)
            words >>= level.width
            words |= spare
            words &= ((1 << level.width) - 1) * (1 + (1 << level.half))


def _integers(lanes: Tensor, size: int) -> Any:
    """Views lanes as integers of `size` bytes, for operators in place: on a CPU NumPy's, which take half the time of
    torch's on so few values."""
    return lanes.numpy().view(f"i{size}") if on_cpu(lanes) else lanes.view(_SIGNED[size])


def _pieces(words: Tensor, packed: Tensor) -> Iterator[tuple[Any, Any]]:
    """Pairs of views of the same bytes, in words (n, word) and in packed groups (n, bytes): in words the lowest byte
    is the first, in what is packed the last. NumPy turns integers of several bytes as it copies them."""
    count, start = packed.shape[1], 0
    if not on_cpu(words):
        yield from ((words[:, count - 1 - place], packed[:, place]) for place in range(count))
        return
    for size in (8, 4, 2, 1):
        if count & size:
            low = words.numpy()[:, count - start - size : count - start].view(f"<u{size}")
            high = packed.numpy()[:, start : start + size].view(f">u{size}")
            yield low, high
            start += size
