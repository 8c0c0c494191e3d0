"""Reading prefix codes: an automaton goes over many segments of the strings at once, a byte at a time."""

from __future__ import annotations

from functools import lru_cache

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from actbench.codec.bit_strings import Stream, segment_sums, true_positions

_SEGMENT = 64
"""Bytes of a segment."""

Transitions = tuple[tuple[int, int], ...]
"""The next state on a 0, and on a 1, for each state. State 0 stands before a symbol."""


def prefix_code(longest: int, first: tuple[int, int], *inner: tuple[int, int]) -> Transitions:
    """The automaton of a prefix code. States 1 to `longest` have so many bits of the symbol before them, whatever these
    are; `first` are the states after a symbol's first bit, and `inner` the states above `longest`."""
    return first, *((bits_left - 1, bits_left - 1) for bits_left in range(1, longest + 1)), *inner


def symbol_starts(stream: Stream, code: Transitions) -> tuple[Tensor, Tensor]:
    """The positions, rising, where symbols begin in strings that lie one after the other, and how many each string
    has."""
    segments, first = _segments(stream)
    next_state, begins = _tables(code)
    marked_bytes = begins.take(_table_indices(segments, first, next_state)).T.tobytes()
    marks = numpy.unpackbits(numpy.frombuffer(marked_bytes, numpy.uint8))
    starts = (8 * _SEGMENT * first).tolist()
    strings = [marks[start : start + length] for start, length in zip(starts, stream.lengths.tolist(), strict=True)]
    flags = torch.from_numpy(numpy.concatenate(strings)) if strings else stream.bits[:0]
    return true_positions(flags).to(stream.bits.device), segment_sums(flags, stream.lengths)


def _segments(stream: Stream) -> tuple[NDArray[numpy.intp], NDArray[numpy.intp]]:
    """All strings in bytes, (_SEGMENT, segments), each beginning a new segment; and the `first` segment of each."""
    sizes = -(-stream.lengths.cpu().numpy() // (8 * _SEGMENT))
    first = numpy.cumsum(sizes) - sizes
    padded = numpy.zeros((int(sizes.sum()), _SEGMENT), numpy.uint8)
    for start, string in zip(first.tolist(), stream.strings(), strict=True):
        packed = numpy.packbits(string.cpu().numpy())
        padded.reshape(-1)[_SEGMENT * start :][: len(packed)] = packed
    return padded.T.astype(numpy.intp), first


def _table_indices(
    segments: NDArray[numpy.intp], first: NDArray[numpy.intp], next_state: NDArray[numpy.intp]
) -> NDArray[numpy.intp]:
    """The index of each byte, (_SEGMENT, segments), in the tables: 256 · the state before it + its value.

    All segments are read side by side from state 0, which is a guess but for the first of a string. Where one ends, the
    next one begins; those whose guess was wrong are read again, until none is. Codes fall into step within a few
    symbols, so that it is seldom more than twice.
    """
    entry = numpy.zeros(segments.shape[1], numpy.intp)
    indices, ends = _read(segments, entry, next_state)
    while True:
        expected = numpy.roll(ends, 1)
        expected[first[first < len(entry)]] = 0
        wrong = numpy.flatnonzero(entry != expected)
        if not len(wrong):
            return indices
        entry = expected
        indices[:, wrong], ends[wrong] = _read(segments[:, wrong], entry[wrong], next_state)


def _read(
    segments: NDArray[numpy.intp], entry: NDArray[numpy.intp], next_state: NDArray[numpy.intp]
) -> tuple[NDArray[numpy.intp], NDArray[numpy.intp]]:
    """The indices, and the states behind the last byte, of segments that are entered in the states `entry`."""
    indices = numpy.empty_like(segments)
    state = entry
    for values, index in zip(segments, indices, strict=True):
        numpy.add(state, values, out=index)
        state = next_state.take(index, mode="clip")
    return indices, state


@lru_cache
def _tables(code: Transitions) -> tuple[NDArray[numpy.intp], NDArray[numpy.uint8]]:
    """Tables with, at 256 · state + a byte, 256 · the state behind it, and at which of its bits a symbol begins."""
    transitions = numpy.array(code)
    state = numpy.repeat(numpy.arange(len(transitions))[:, None], 256, axis=1)
    begins = numpy.zeros(state.shape, numpy.uint8)
    for bit in range(7, -1, -1):
        begins |= (state == 0).astype(numpy.uint8) << bit
        state = transitions[state, (numpy.arange(256) >> bit) & 1]
    return 256 * state.reshape(-1), begins.reshape(-1)
