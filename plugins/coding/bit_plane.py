"""EBPC, extended bit-plane compression (Cavigelli, Rutishauser, Benini, arXiv 1810.03979 and 1908.11645).

A string is the run-length code of which values are zero, then the non-zero values in blocks of 8. Of a block are
stored the first value in `width` bits, and the 7 differences of neighbours as `width` + 1 bit-planes of 7 bits (DBP,
the sign's plane first), each by its difference to the plane before (DBX = DBP XOR that plane; the first as it is):

    0 1 and ⌈log2 width⌉ bits    a run of at least 2 all-zero DBX: its length − 2
    0 0 1                        one all-zero DBX
    0 0 0 0 0                    DBX all ones
    0 0 0 0 1                    DBP = 0 (and DBX ≠ 0)
    0 0 0 1 0 and 3 bits         two adjacent ones: the position of the first, counted from the plane's last bit
    0 0 0 1 1 and 3 bits         a single one: its position, likewise
    1 and 7 bits                 any other DBX

An image's last block is filled up by repeating its last value, whose differences cost a run of zeros at most. The first
values of all blocks stand before all symbols, which changes no length and leaves a pure prefix code to be read.

The authors' released code takes the planes from the other end (`BitPlane.lowest_is_base`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, reduce

import torch
from torch import Tensor

from actbench.codec.bit_strings import Stream, code_type, from_bits, join, pack_bits, symbols, to_bits, true_positions
from actbench_plugins.coding.coder import Coder, numbers_at
from actbench_plugins.coding.flags import RUN_BITS, decode_flags, encode_flags, run_count
from actbench_plugins.coding.gaps import repeated
from actbench_plugins.coding.prefix import Transitions, prefix_code, symbol_starts

BLOCK = 8
_INTEGER_TYPES = (8, 16)
"""Widths of integer types."""

_ALL = 0b1111111

_SYMBOLS_IN_ONE = 3
"""Symbols of at most 8 bits that are put together in an integer of 32 bits."""

_CLEARED, _RUN = 128, 129
"""What a plane is written as, if not as its DBX, 1 to 127: DBP = 0; nothing, inside a run of all-zero DBX; and in place
of the run's last plane, the run, `_RUN` + its length."""


@dataclass(frozen=True)
class BitPlane(Coder):
    """Run-length code of zero or not, and bit-planes of the non-zero values' differences in blocks of 8.

    With `lowest_is_base` as in the authors' released code: DBX = DBP XOR the plane below, the lowest as it is, and at 8
    and 16 bits, their integer types, differences wrap around and have no plane for the sign.
    """

    lowest_is_base: bool = False

    codes_at_once = 1 << 20
    """More than stay in cache: the many small steps have a cost of their own."""

    def write(self, codes: Tensor, width: int) -> Stream:
        nonzero = codes.bool()
        blocks, counts = _blocks(codes.to(code_type(width)), nonzero)
        first = Stream(to_bits(blocks[:, 0], width).flatten(), counts * width)
        return join(encode_flags(nonzero), first, self._encode_planes(blocks, counts, width))

    def counted_lengths(self, codes: Tensor, width: int) -> Tensor:
        blocks, counts = _blocks_and_room(codes.int())
        planes = _counted_planes(blocks, width)[-self._plane_count(width) :]
        lengths = torch.tensor(_lengths(width), device=codes.device)
        sizes = lengths[_kinds(planes, self._changes(planes)).long()].sum(0)
        written = torch.arange(blocks.shape[1], device=codes.device) < counts[:, None]
        flags = (codes != 0).sum(1) + (1 + RUN_BITS) * run_count(codes)
        return flags + ((width + sizes) * written).sum(1)

    def read(self, stream: Stream, count: int, width: int) -> Tensor:
        nonzero, amounts, used = decode_flags(stream, count)
        counts = -(-amounts // BLOCK)
        _, first, planes = stream.divide(used, counts * width)
        blocks = _restored(from_bits(first.bits.reshape(-1, width), width), self._decode_planes(planes, width), width)
        images = zip(blocks.split(counts.tolist()), amounts.tolist(), strict=True)
        values = torch.cat([blocks[:0].flatten(), *(image.flatten()[:amount] for image, amount in images)])
        codes = torch.zeros(len(used) * count, dtype=values.dtype, device=values.device)
        return codes.scatter_(0, nonzero, values).reshape(len(used), count)

    def _plane_count(self, width: int) -> int:
        return width if self.lowest_is_base and width in _INTEGER_TYPES else width + 1

    def _encode_planes(self, blocks: Tensor, counts: Tensor, width: int) -> Stream:
        """Values (blocks, 8) → the symbols of the images, which have `counts` (batch,) blocks."""
        planes = _planes(blocks, width)[-self._plane_count(width) :]
        return _write_symbols(_kinds(planes, self._changes(planes)), counts, width)

    def _changes(self, planes: Tensor) -> Tensor:
        """DBP (planes, …) → DBX."""
        changes = planes.clone()
        if self.lowest_is_base:
            changes[:-1] ^= planes[1:]
        else:
            changes[1:] ^= planes[:-1]
        return changes

    def _decode_planes(self, stream: Stream, width: int) -> Tensor:
        """The symbols of a few images' blocks → DBP (planes, blocks), uint8."""
        planes = _read_symbols(stream, width, self._plane_count(width))
        kept = 1 - (planes >> 7)  # _CLEARED alone has an eighth bit
        numbers = range(len(planes))
        previous = torch.zeros_like(planes[0])
        for number in reversed(numbers) if self.lowest_is_base else numbers:
            previous = planes[number].bitwise_xor_(previous).mul_(kept[number])
        return planes


def run_bits(width: int) -> int:
    """Bits of a run's length, ⌈log2 width⌉."""
    return (width - 1).bit_length()


def _blocks(codes: Tensor, nonzero: Tensor) -> tuple[Tensor, Tensor]:
    """The non-zero values, (blocks, 8), and how many blocks each image (batch,) has."""
    positions, ends = true_positions(nonzero), codes.shape[1] * torch.arange(len(codes) + 1, device=codes.device)
    counts = torch.searchsorted(positions, ends).diff()
    images = codes.flatten().index_select(0, positions).split(counts.tolist())
    filled = [values for image in images for values in (image, image[-1:].expand(-len(image) % BLOCK))]
    joined = torch.cat(filled) if filled else codes.flatten()
    return joined.reshape(-1, BLOCK), -(-counts // BLOCK)


def _blocks_and_room(codes: Tensor) -> tuple[Tensor, Tensor]:
    """The non-zero values in as many blocks as there would be without a zero, (batch, blocks, 8), and how many each
    image (batch,) has: without a branch on values. What is behind the last value repeats it."""
    nonzero, room = codes != 0, -(-codes.shape[1] // BLOCK) * BLOCK
    found = nonzero.sum(1)
    behind = torch.where(nonzero, nonzero.cumsum(1) - 1, room)
    values = codes.new_zeros(codes.shape[0], room + 1).scatter(1, behind, codes)
    places = torch.minimum(torch.arange(room, device=codes.device), (found[:, None] - 1).clamp(min=0))
    return values.gather(1, places).unflatten(1, (-1, BLOCK)), (found + BLOCK - 1) // BLOCK


def _counted_planes(blocks: Tensor, width: int) -> Tensor:
    """Values (…, 8), int32 → DBP (width + 1, …), uint8, as `_planes`, in operators of torch alone."""
    differences = blocks.diff(dim=-1)
    weights = 1 << torch.arange(BLOCK - 2, -1, -1, device=blocks.device)
    planes = [(((differences >> place) & 1) * weights).sum(-1) for place in range(width, -1, -1)]
    return torch.stack(planes).to(torch.uint8)


def _planes(blocks: Tensor, width: int) -> Tensor:
    """Values (blocks, 8) → DBP (width + 1, blocks), uint8, 7 bits each, the sign's plane first."""
    values = blocks.flatten()
    # Differences to the block before give each plane an eighth bit, its highest, which is masked.
    differences = values.diff(prepend=values[:1])
    signs = pack_bits(values < values.roll(1))
    parts = [_transposed((differences >> place).to(torch.uint8)) for place in _places(width)]
    return torch.cat([signs[None], torch.cat(parts, 1).T[-width:]]).bitwise_and_(_ALL)


def _restored(first: Tensor, planes: Tensor, width: int) -> Tensor:
    """First values (blocks,) and DBP, `width` planes or one more, → values (blocks, 8)."""
    places = _places(width)
    filling = [torch.zeros_like(planes[0])] * (8 * len(places) - width)
    parts = torch.stack([*filling, *planes[-width:]], 1).split(8, 1)
    differences = (_transposed(part).to(first.dtype) << place for place, part in zip(places, parts, strict=True))
    values = reduce(torch.bitwise_or, differences)
    values[:, 0] = first
    for number in range(1, BLOCK):
        values[:, number] += values[:, number - 1]
    return values.bitwise_and_((1 << width) - 1)


def _places(width: int) -> list[int]:
    """The place of the lowest bit of each byte of a value, the highest byte first."""
    return list(range(8 * ((width - 1) // 8), -1, -8))


def _transposed(rows: Tensor) -> Tensor:
    """Bytes (blocks · 8,) → (blocks, 8): bit 7 − i of byte 7 − j is bit j of byte i."""
    matrix = rows.flatten().view(torch.int64)
    # Squares of 1, 2 and 4 bits on either side of the diagonal change places (Warren, Hacker's Delight, 7-3).
    for distance, mask in ((9, 0x0055005500550055), (18, 0x0000333300003333), (36, 0x0F0F0F0F)):
        moved = ((matrix >> distance) ^ matrix) & mask
        matrix = matrix ^ moved ^ (moved << distance)
    return matrix.view(torch.uint8).view(-1, 8)


def _write_symbols(kinds: Tensor, counts: Tensor, width: int) -> Stream:
    """What planes (planes, blocks) are written as → the symbols of the images, which have `counts` (batch,) blocks."""
    kinds = kinds.int()
    tables = (table.to(kinds.device).index_select(0, kinds.flatten()).view_as(kinds) for table in _symbols(width))
    groups = [_in_one(*group) for group in zip(*(table.split(_SYMBOLS_IN_ONE) for table in tables), strict=True)]
    values, lengths = (torch.stack(parts, 1).flatten() for parts in zip(*groups, strict=True))
    return symbols(values, lengths, counts * len(groups))


def _in_one(values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Symbols (planes, blocks) and their lengths → those of each block as one."""
    value, length = values[0], lengths[0]
    for next_value, next_length in zip(values[1:], lengths[1:], strict=True):
        value, length = (value << next_length) | next_value, length + next_length
    return value, length


def _kinds(planes: Tensor, changes: Tensor) -> Tensor:
    """DBP and DBX (planes, blocks) → what each plane is written as. In numbers of 8 bits this is a small part of the
    work that comparisons are."""
    nonzero, all_ones = changes.clamp(max=1), (changes + 1) >> 7
    cleared = nonzero * (1 - planes.clamp(max=1)) * (1 - all_ones)
    runs = 1 - nonzero
    for number in range(1, len(runs)):
        runs[number] *= runs[number - 1] + 1
    zero_planes = (1 - nonzero) * _RUN
    runs[:-1] *= nonzero[1:]
    return changes + (_CLEARED - changes) * cleared + zero_planes + runs


def _read_symbols(stream: Stream, width: int, plane_count: int) -> Tensor:
    """The symbols of a few images' blocks → DBX (planes, blocks), uint8, or `_CLEARED`."""
    begin = numbers_at(stream.bits, symbol_starts(stream, _automaton(width))[0], 8)
    changes, counts = (table.to(begin.device).index_select(0, begin) for table in _reading_tables(width))
    return torch.stack(repeated(changes, counts).reshape(-1, plane_count).unbind(1))


@lru_cache
def _symbols(width: int) -> tuple[Tensor, Tensor]:
    """The symbol of each kind of plane, and its length."""
    kinds = torch.arange(_RUN + width + 2)
    values = kinds | 128
    for position in range(BLOCK - 1):
        values[1 << position] = 0b00011000 | position
        if position:
            values[0b11 << (position - 1)] = 0b00010000 | position
    values[_ALL], values[_CLEARED] = 0b00000, 0b00001
    values[_RUN], values[_RUN + 1] = 0, 0b001
    values[_RUN + 2 :] = (1 << run_bits(width)) | kinds[:width]
    return values.int(), torch.tensor(_lengths(width), dtype=torch.int32)


def _lengths(width: int) -> list[int]:
    """The length of the symbol of each kind of plane."""
    changes = [8] * _ALL + [5]
    return [*changes, 5, 0, 3, *[2 + run_bits(width)] * width]


def _automaton(width: int) -> Transitions:
    """The automaton of these symbols: after 0, 00 and 000 the next bit decides."""
    longest = BLOCK - 1
    after_0, after_00, after_000 = range(longest + 1, longest + 4)
    inner = ((after_00, run_bits(width)), (after_000, 0), (1, 4))
    return prefix_code(longest, (after_0, longest), *inner)


@lru_cache
def _reading_tables(width: int) -> tuple[Tensor, Tensor]:
    """What the next 8 bits say: the symbol's DBX, or that DBP = 0, and how many planes it stands for."""
    window = torch.arange(256)
    changes, counts = window & _ALL, torch.ones_like(window)
    run, single_zero = window >> 6 == 0b01, window >> 5 == 0b001
    changes[run | single_zero] = 0
    counts[run] = 2 + ((window[run] & 63) >> (6 - run_bits(width)))
    changes[window >> 3 == 0b00000], changes[window >> 3 == 0b00001] = _ALL, _CLEARED
    single, pair = window >> 3 == 0b00011, window >> 3 == 0b00010
    changes[single] = 1 << (window[single] & 7)
    changes[pair] = (0b11 << (window[pair] & 7)) >> 1
    return changes.to(torch.uint8), counts
