"""Reading prefix codes: an automaton goes over many parts of the strings at once, a byte at a time."""

from __future__ import annotations

from functools import lru_cache

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from actbench.codec.bit_strings import Stream, segment_sums, true_positions

_SEGMENT = 64
"""Bytes."""

Transitions = tuple[tuple[int, int], ...]
"""For each state the next one on a 0, and on a 1. State 0 stands before a symbol."""


def prefix_code(longest: int, first: tuple[int, int], *inner: tuple[int, int]) -> Transitions:
    """States 1 to `longest` have so many bits of the symbol before them, whatever these are; `first` are the states
    after a symbol's first bit, and `inner` the states above `longest`."""
    return first, *((left - 1, left - 1) for left in range(1, longest + 1)), *inner


def symbol_starts(stream: Stream, code: Transitions) -> tuple[Tensor, Tensor]:
    """Where the symbols begin in strings that lie one after the other: the positions in rising order, and how many each
    string has."""
    segments, first = _segments(stream)
    following, begins = _tables(code)
    places = begins.take(_states(segments, first, following)).T.tobytes()
    marks = numpy.unpackbits(numpy.frombuffer(places, numpy.uint8))
    starts = (8 * _SEGMENT * first).tolist()
    own = [marks[start : start + length] for start, length in zip(starts, stream.lengths.tolist(), strict=True)]
    flags = torch.from_numpy(numpy.concatenate(own)) if own else stream.bits[:0]
    return true_positions(flags).to(stream.bits.device), segment_sums(flags, stream.lengths)


def _segments(stream: Stream) -> tuple[NDArray[numpy.intp], NDArray[numpy.intp]]:
    """All strings in bytes, (_SEGMENT, segments), each beginning a segment of its own; and the `first` of each."""
    sizes = -(-stream.lengths.cpu().numpy() // (8 * _SEGMENT))
    first = numpy.cumsum(sizes) - sizes
    padded = numpy.zeros((int(sizes.sum()), _SEGMENT), numpy.uint8)
    for start, string in zip(first.tolist(), stream.strings(), strict=True):
        packed = numpy.packbits(string.cpu().numpy())
        padded.reshape(-1)[_SEGMENT * start :][: len(packed)] = packed
    return padded.T.astype(numpy.intp), first


def _states(
    segments: NDArray[numpy.intp], first: NDArray[numpy.intp], following: NDArray[numpy.intp]
) -> NDArray[numpy.intp]:
    """For each byte, (_SEGMENT, segments), its own place in the tables: 256 · the state before it + its value.

    All segments are read side by side from state 0, which is a guess but for the first of a string. Where one ends, the
    next one begins; those whose guess was wrong are read again, until none is. Codes fall into step within a few
    symbols, so that it is seldom more than twice.
    """
    entry = numpy.zeros(segments.shape[1], numpy.intp)
    places, ends = _read(segments, entry, following)
    while True:
        expected = numpy.roll(ends, 1)
        expected[first[first < len(entry)]] = 0
        wrong = numpy.flatnonzero(entry != expected)
        if not len(wrong):
            return places
        entry = expected
        places[:, wrong], ends[wrong] = _read(segments[:, wrong], entry[wrong], following)


def _read(
    segments: NDArray[numpy.intp], entry: NDArray[numpy.intp], following: NDArray[numpy.intp]
) -> tuple[NDArray[numpy.intp], NDArray[numpy.intp]]:
    """The places, and the states behind the last byte, of segments that are entered in the states `entry`."""
    places = numpy.empty_like(segments)
    state = entry
    for row, at in zip(segments, places, strict=True):
        numpy.add(state, row, out=at)
        state = following.take(at, mode="clip")
    return places, state


@lru_cache
def _tables(code: Transitions) -> tuple[NDArray[numpy.intp], NDArray[numpy.uint8]]:
    """At 256 · state + a byte: 256 · the state behind it, and at which of its bits a symbol begins."""
    transitions = numpy.array(code)
    state = numpy.repeat(numpy.arange(len(transitions))[:, None], 256, axis=1)
    begins = numpy.zeros(state.shape, numpy.uint8)
    for place in range(7, -1, -1):
        begins |= (state == 0).astype(numpy.uint8) << place
        state = transitions[state, (numpy.arange(256) >> place) & 1]
    return 256 * state.reshape(-1), begins.reshape(-1)
