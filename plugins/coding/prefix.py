"""Reading prefix codes: an automaton goes over many segments of the strings at once, a byte at a time."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from actbench.codec.bit_strings import Stream, true_positions

_SHORTEST_SEGMENT, _LONGEST_SEGMENT = 16, 128
"""Bytes of a segment."""

Indices = NDArray[numpy.intp]

Transitions = tuple[tuple[int, int], ...]
"""The next state on a 0, and on a 1, for each state. State 0 stands before a symbol."""


def prefix_code(longest: int, first: tuple[int, int], *inner: tuple[int, int]) -> Transitions:
    """The automaton of a prefix code. States 1 to `longest` have so many bits of the symbol before them, whatever these
    are; `first` are the states after a symbol's first bit, and `inner` the states above `longest`."""
    return first, *((bits_left - 1, bits_left - 1) for bits_left in range(1, longest + 1)), *inner


def symbol_starts(stream: Stream, code: Transitions) -> tuple[Tensor, Tensor]:
    """The positions, rising, where symbols begin in strings that lie one after the other, and how many each string
    has."""
    starts = true_positions(symbol_marks(stream, code))
    return starts, counts_within(starts, stream)


def counts_within(positions: Tensor, stream: Stream) -> Tensor:
    """How many of the positions, rising, are in each of the strings."""
    bounds = torch.cat([stream.starts, stream.lengths.sum(0, keepdim=True)])
    return torch.searchsorted(positions, bounds).diff()


def symbol_marks(stream: Stream, code: Transitions) -> Tensor:
    """Which bits of the strings (total,) begin a symbol, uint8."""
    indices, first = _segments(stream)
    next_state, begins = _tables(code)
    _read_all(indices, first, next_state)
    marks = numpy.unpackbits(begins.take(indices).T.reshape(-1))
    starts = (8 * len(indices) * first).tolist()
    strings = [marks[start : start + length] for start, length in zip(starts, stream.lengths.tolist(), strict=True)]
    joined = strings[0] if len(strings) == 1 else numpy.concatenate([marks[:0], *strings])
    return torch.from_numpy(joined).to(stream.bits.device)


def _segments(stream: Stream) -> tuple[Indices, Indices]:
    """All strings in bytes, (bytes, segments), each beginning a new segment; and the `first` segment of each."""
    # A step over all segments has a cost of its own, so that neither many steps nor many segments are best.
    size = min(_LONGEST_SEGMENT, max(_SHORTEST_SEGMENT, math.isqrt(len(stream.bits) // 64)))
    counts = -(-stream.lengths.cpu().numpy() // (8 * size))
    first = numpy.cumsum(counts) - counts
    padded = numpy.zeros((int(counts.sum()), size), numpy.uint8)
    for start, string in zip(first.tolist(), stream.strings(), strict=True):
        packed = numpy.packbits(string.cpu().numpy())
        padded.reshape(-1)[size * start :][: len(packed)] = packed
    return padded.T.astype(numpy.intp, order="C"), first


def _read_all(segments: Indices, first: Indices, next_state: Indices) -> None:
    """Turns each byte, (bytes, segments), into its index in the tables: 256 · the state before it + its value.

    All segments are read side by side. A segment is entered in the state in which the one before it ends when half of
    it is read from state 0, as codes fall into step within a few symbols; those that were entered in another state than
    the one before them ends in are read again, until none is.
    """
    halves = segments[len(segments) // 2 :].copy()
    entry = _following(_read(halves, numpy.zeros_like(halves[0]), next_state), first)
    ends = _read(segments, entry, next_state)
    while True:
        expected = _following(ends, first)
        wrong = numpy.flatnonzero(entry != expected)
        if not len(wrong):
            return
        entry, again = expected, segments[:, wrong] & 255
        ends[wrong] = _read(again, entry[wrong], next_state)
        segments[:, wrong] = again


def _following(ends: Indices, first: Indices) -> Indices:
    """The state before each segment, from that behind each; strings begin in state 0."""
    states = numpy.roll(ends, 1)
    states[first[first < len(states)]] = 0
    return states


def _read(segments: Indices, entry: Indices, next_state: Indices) -> Indices:
    """Turns the bytes of segments, which are entered in the states `entry`, into indices, in place; the states behind
    their last bytes."""
    state = entry
    for indices in segments:
        indices += state
        state = next_state.take(indices, mode="clip")
    return state


@lru_cache
def _tables(code: Transitions) -> tuple[Indices, NDArray[numpy.uint8]]:
    """Tables with, at 256 · state + a byte, 256 · the state behind it, and at which of its bits a symbol begins."""
    transitions = numpy.array(code)
    state = numpy.repeat(numpy.arange(len(transitions))[:, None], 256, axis=1)
    begins = numpy.zeros(state.shape, numpy.uint8)
    for bit in range(7, -1, -1):
        begins |= (state == 0).astype(numpy.uint8) << bit
        state = transitions[state, (numpy.arange(256) >> bit) & 1]
    return 256 * state.reshape(-1), begins.reshape(-1)
