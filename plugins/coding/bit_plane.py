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
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from actbench.codec.bit_strings import Stream, code_type, from_bits, join, symbols, to_bits, true_positions
from actbench_plugins.coding.coder import Coder, numbers_at, running_sums
from actbench_plugins.coding.prefix import Transitions, prefix_code, symbol_starts
from actbench_plugins.coding.run_length import encode_runs, read_runs

BLOCK = 8
_ALL = 0b1111111


class BitPlane(Coder):
    """Run-length code of zero or not, and bit-planes of the non-zero values' differences in blocks of 8."""

    def write(self, codes: Tensor, width: int) -> Stream:
        blocks, counts = _blocks(codes)
        first = Stream(to_bits(blocks[0], width).flatten(), counts * width)
        values, lengths = _symbols(_planes(blocks, width), width)
        planes = symbols(values.flatten(), lengths.flatten(), counts * (width + 1))
        return join(encode_runs(codes, 0), join(first, planes))

    def read(self, stream: Stream, count: int, width: int) -> Tensor:
        flags, used = _read_flags(stream, count)
        nonzeros = flags.count_nonzero(1)
        blocks = -(-nonzeros // BLOCK)
        first, planes = stream.divide(used)[1].divide(blocks * width)
        starts = from_bits(first.bits.reshape(-1, width), width)
        values = _restore(starts, _read_planes(planes, width), width).flatten()
        numbers = running_sums(torch.ones_like(values), blocks * BLOCK)
        is_code = numbers <= nonzeros.repeat_interleave(blocks * BLOCK)  # and not a filler of the last block
        codes = torch.zeros(flags.numel(), dtype=code_type(width), device=values.device)
        codes.scatter_(0, true_positions(flags), values.index_select(0, true_positions(is_code)).to(codes.dtype))
        return codes.reshape(flags.shape)


def _read_flags(stream: Stream, count: int) -> tuple[Tensor, Tensor]:
    """The flags of codes that are not zero, and how many bits they take at the strings' beginnings: of each string only
    a part is searched for runs that, most often, holds them all."""
    limit = 2 * count
    while True:
        head = stream.divide(stream.lengths.clamp(max=limit))[0]
        flags, used = read_runs(head, count, 0)
        if bool(((used < head.lengths) | (head.lengths == stream.lengths)).all()):
            return flags, used
        limit *= 2


def run_bits(width: int) -> int:
    """Bits of a run's length, ⌈log2 width⌉."""
    return (width - 1).bit_length()


def _blocks(codes: Tensor) -> tuple[Tensor, Tensor]:
    """The non-zero values, (8, blocks), and how many blocks each image (batch,) has."""
    nonzero = codes != 0
    counts = nonzero.count_nonzero(1)
    images = codes.flatten().index_select(0, true_positions(nonzero)).split(counts.tolist())
    filled = [values for image in images for values in (image, image[-1:].expand(-len(image) % BLOCK))]
    joined = torch.cat(filled) if filled else codes.flatten()
    return joined.reshape(-1, BLOCK).T, -(-counts // BLOCK)


def _planes(blocks: Tensor, width: int) -> Tensor:
    """Values (8, blocks) → DBP (width + 1, blocks), 7 bits each, the sign's plane first."""
    wide = blocks.to(torch.int16 if width < 16 else torch.int32)
    plane_bits = 1 << torch.arange(width, -1, -1, dtype=wide.dtype, device=wide.device)[:, None]
    planes = torch.zeros(width + 1, blocks.shape[1], dtype=torch.uint8, device=blocks.device)
    for difference in wide[1:] - wide[:-1]:
        planes.mul_(2).add_((difference & plane_bits) != 0)
    return planes


def _symbols(planes: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """DBP (width + 1, blocks) → symbols and their lengths, (blocks, width + 1); length 0 inside a run."""
    changes = planes.clone()
    changes[1:] ^= planes[:-1]
    index = changes.flatten().int()
    values, lengths = (table.to(index.device).index_select(0, index).view_as(planes) for table in _tables())
    cleared = (planes == 0) & (changes != 0) & (changes != _ALL)
    values[cleared], lengths[cleared] = 0b00001, 5
    _write_runs(changes == 0, values, lengths, width)
    return values.T, lengths.T


def _write_runs(zero: Tensor, values: Tensor, lengths: Tensor, width: int) -> None:
    """Replaces the symbols of all-zero DBX, where `zero` (width + 1, blocks), in place."""
    run = zero.to(values.dtype)
    for number in range(width - 1, -1, -1):
        run[number] += run[number + 1] * zero[number]
    inside = torch.zeros_like(zero)
    inside[1:] = zero[1:] & zero[:-1]
    torch.where(zero, torch.where(run > 1, (1 << run_bits(width)) | (run - 2), 1), values, out=values)
    torch.where(zero, (run > 1).to(lengths.dtype) * (run_bits(width) - 1) + 3, lengths, out=lengths)
    lengths.masked_fill_(inside, 0)


def _read_planes(stream: Stream, width: int) -> Tensor:
    """The symbols of a few images' blocks → DBP (width + 1, blocks)."""
    begin = numbers_at(stream.bits, symbol_starts(stream, _automaton(width))[0], 8)
    clears, changes, runs = (table.to(begin.device).index_select(0, begin) for table in _reading_tables(width))
    planes_each = runs.long()
    cleared = clears.repeat_interleave(planes_each).reshape(-1, width + 1).T
    change = changes.repeat_interleave(planes_each).reshape(-1, width + 1).T
    planes = torch.zeros_like(change)
    previous = torch.zeros_like(change[0]) if len(change) else change
    for number in range(width + 1):
        previous = torch.where(cleared[number] == 1, 0, change[number] ^ previous)
        planes[number] = previous
    return planes


def _restore(first: Tensor, planes: Tensor, width: int) -> Tensor:
    """First values (blocks,) and DBP (width + 1, blocks) → values (blocks, 8)."""
    differences = torch.zeros(BLOCK - 1, len(first), dtype=torch.int32, device=first.device)
    for plane in planes:
        bits = (plane.int() >> torch.arange(BLOCK - 2, -1, -1, device=plane.device, dtype=torch.int32)[:, None]) & 1
        differences = (differences << 1) | bits
    differences -= (differences >> width) << (width + 1)
    return torch.cat([first.int()[None], differences]).cumsum(0).T


@lru_cache
def _tables() -> tuple[Tensor, Tensor]:
    """The symbol of each DBX and its length, where neither the planes around it nor DBP matter."""
    values, lengths = torch.arange(128, dtype=torch.uint8) | 128, torch.full((128,), 8, dtype=torch.uint8)
    for position in range(BLOCK - 1):
        values[1 << position] = 0b00011000 | position
        if position:
            values[0b11 << (position - 1)] = 0b00010000 | position
    values[_ALL], lengths[_ALL] = 0, 5
    return values, lengths


def _automaton(width: int) -> Transitions:
    """The automaton of these symbols: after 0, 00 and 000 the next bit decides."""
    longest = BLOCK - 1
    after_0, after_00, after_000 = range(longest + 1, longest + 4)
    inner = ((after_00, run_bits(width)), (after_000, 0), (1, 4))
    return prefix_code(longest, (after_0, longest), *inner)


@lru_cache
def _reading_tables(width: int) -> tuple[Tensor, Tensor, Tensor]:
    """What the next 8 bits say: whether the symbol means DBP = 0, its DBX, and how many planes it stands for."""
    window = torch.arange(256)
    clears, changes, runs = torch.zeros(256), window & _ALL, torch.ones(256)
    run, single_zero = window >> 6 == 0b01, window >> 5 == 0b001
    changes[run | single_zero] = 0
    runs[run] = 2.0 + ((window[run] & 63) >> (6 - run_bits(width)))
    ones, cleared = window >> 3 == 0b00000, window >> 3 == 0b00001
    changes[ones], clears[cleared] = _ALL, 1
    single, pair = window >> 3 == 0b00011, window >> 3 == 0b00010
    changes[single] = 1 << (window[single] & 7)
    changes[pair] = (0b11 << (window[pair] & 7)) >> 1
    return clears.to(torch.uint8), (changes & _ALL).to(torch.uint8), runs.to(torch.uint8)
