"""A range coder (rANS: Duda, arXiv 1311.2540) for many strings at once, with several interleaved states in each.

A symbol of frequency f out of 2^14, the frequencies before it summing to c, changes a state x in [2^16, 2^32) to

    x' = ⌊x / f⌋·2^14 + c + (x mod f)        after moving its low 16 bits to the string where x ≥ f·2^18

and costs log2(2^14 / f) bits but for rounding. Value number i of a string belongs to state i mod S: the loop is over
i div S, and each turn works on all states of all strings. The encoder runs from the last value to the first, so that
the decoder reads from front to back. A string is the S states, 32 bits each, and then the 16-bit words.
"""

from __future__ import annotations

import numpy
from numpy.typing import NDArray

PRECISION = 14
"""Frequencies add up to 2^14."""

STATE_BITS, WORD_BITS = 32, 16

_TURNS = 2048

Integers = NDArray[numpy.int64]


def states_for(values: int) -> int:
    """States of a string of so many values: one for every 2048, 32 bits each, of which 16 carry information."""
    return max(1, values // _TURNS)


def encode(frequency: Integers, before: Integers) -> tuple[Integers, Integers, Integers]:
    """Of symbols (strings, values), their frequencies and those before them summed: the states (strings, S), the words
    of all strings, one string after the other, and how many each has (strings,)."""
    strings, values = frequency.shape
    width = states_for(values)
    turns = -(-values // width)
    state = numpy.full((strings, width), 1 << WORD_BITS, dtype=numpy.int64)
    words = numpy.zeros((strings, turns, width), dtype=numpy.uint16)
    moved = numpy.zeros((strings, turns, width), dtype=numpy.bool_)
    for turn in range(turns - 1, -1, -1):
        part = slice(turn * width, min(values, (turn + 1) * width))
        f, c = frequency[:, part], before[:, part]
        x = state[:, : f.shape[1]]
        full = x >= f << (STATE_BITS - PRECISION)
        words[:, turn, : f.shape[1]] = x & 0xFFFF
        moved[:, turn, : f.shape[1]] = full
        quotient, remainder = numpy.divmod(x >> (full * WORD_BITS), f)
        state[:, : f.shape[1]] = (quotient << PRECISION) + c + remainder
    return state, words[moved].astype(numpy.int64), moved.sum((1, 2))


def decode(
    state: Integers, words: Integers, starts: Integers, contexts: Integers, tables: tuple[Integers, Integers, Integers]
) -> tuple[Integers, Integers]:
    """Symbols (strings, values), and how many words of each string (strings,) were read.

    `words`: of all strings, each beginning at its place of `starts`. `contexts` (values,): which table each value has.
    `tables`: for each context and slot, (contexts·2^14,), the symbol, its frequency, and the slot's place in it.
    """
    symbol, frequency, place = tables
    (strings, width), values = state.shape, len(contexts)
    symbols = numpy.zeros((strings, values), dtype=numpy.int64)
    padded, state, at = numpy.append(words, numpy.zeros(width, dtype=numpy.int64)), state.copy(), starts.copy()
    for begin in range(0, values, width):
        x = state[:, : min(width, values - begin)]
        slot = (x & ((1 << PRECISION) - 1)) + (contexts[begin : begin + width] << PRECISION)
        symbols[:, begin : begin + width] = symbol[slot]
        x[:] = frequency[slot] * (x >> PRECISION) + place[slot]
        empty = x < 1 << WORD_BITS
        order = numpy.cumsum(empty, axis=1)
        word = padded[numpy.minimum(at[:, None] + order - 1, len(padded) - 1)]
        x[:] = numpy.where(empty, (x << WORD_BITS) | word, x)
        at += order[:, -1]
    return symbols, at - starts
