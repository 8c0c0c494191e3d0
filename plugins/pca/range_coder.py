"""A range coder (rANS: Duda, arXiv 1311.2540) for many strings at once, with several interleaved states in each.

A symbol of frequency f out of 2^14, the frequencies before it summing to c, changes a state x in [2^16, 2^32) to

    x' = ⌊x / f⌋·2^14 + c + (x mod f)        after moving its low 16 bits to the string where x ≥ f·2^18

and costs log2(2^14 / f) bits but for rounding. Value number i of a string belongs to state i mod S: the loop is over
i div S, and each turn works on all states of all strings. The encoder runs from the last value to the first, so that
the decoder reads from front to back. A string is the S states, 32 bits each, and then the 16-bit words.
"""

from __future__ import annotations

from typing import TypeVar

import numpy
from numpy.typing import NDArray

PRECISION = 14
"""Frequencies add up to 2^14."""

STATE_BITS, WORD_BITS = 32, 16

_VALUES_PER_STATE = 2048

_OFFSET_BITS = 16
"""A table's entry holds a frequency above so many bits, and an offset below."""

Integers = NDArray[numpy.int64]
Symbols = NDArray[numpy.int32]
Whole = TypeVar("Whole", numpy.int32, numpy.int64)


def states_for(values: int) -> int:
    """The number of states of a string of so many values: one for every 2048, 32 bits each, of which 16 carry
    information."""
    return max(1, values // _VALUES_PER_STATE)


def encode(symbols: Symbols, frequency: Integers, before: Integers) -> tuple[Integers, Integers, Integers]:
    """Symbols (strings, values), the frequency of each symbol (symbols,) and the sum of those before it → the states
    (strings, S), the words of all strings, one string after the other, and how many each has (strings,)."""
    strings, values = symbols.shape
    width = states_for(values)
    turns = -(-values // width)
    order = _by_turn(symbols, turns, width, len(frequency))
    # A quotient of a state, below 2^32, by a frequency is right in fp64, where division is several times faster.
    f = numpy.append(frequency, 1 << PRECISION).astype(numpy.float64)
    c = numpy.append(before, 0).astype(numpy.float64)
    state = numpy.full(strings * width, 2.0**WORD_BITS)
    moved = numpy.empty(order.shape, dtype=numpy.bool_)
    words = numpy.empty(order.shape, dtype=numpy.uint32)
    for turn in range(turns - 1, -1, -1):
        f_turn, c_turn = f.take(order[turn]), c.take(order[turn])
        words[turn] = state
        full = numpy.greater_equal(state, f_turn * 2.0 ** (STATE_BITS - PRECISION), out=moved[turn])
        x = numpy.where(full, numpy.floor(state * 2.0**-WORD_BITS), state)
        quotient = numpy.floor(x / f_turn)
        state = x + quotient * (2.0**PRECISION - f_turn) + c_turn  # ⌊x/f⌋·2^14 + c + (x − ⌊x/f⌋·f)
    moved, words = (by_turn.reshape(turns, strings, width).transpose(1, 0, 2) for by_turn in (moved, words))
    written = words[moved].astype(numpy.int64) & ((1 << WORD_BITS) - 1)
    return state.reshape(strings, width).astype(numpy.int64), written, moved.sum((1, 2))


def decode(
    state: Integers, words: Integers, starts: Integers, contexts: Integers, tables: tuple[Symbols, Integers, Integers]
) -> tuple[Symbols, Integers]:
    """The symbols (strings, values), and how many words of each string (strings,) were read.

    `words`: those of all strings, which begin at `starts`. `contexts` (values,): which table each value has.
    `tables`: for each context and slot, (contexts·2^14,), the symbol, its frequency, and the slot's offset in it.
    """
    symbol, frequency, offset = tables
    (strings, width), values = state.shape, len(contexts)
    turns = -(-values // width)
    # One context more, of a symbol that leaves every state as it is, fills up the last turn.
    no_change = (1 << PRECISION << _OFFSET_BITS) | numpy.arange(1 << PRECISION)
    table = numpy.concatenate([(frequency << _OFFSET_BITS) | offset, no_change])
    contexts_by_turn = _by_turn(contexts[None] << PRECISION, turns, width, len(symbol)).reshape(turns, 1, width)
    slots = numpy.empty((turns, strings, width), dtype=numpy.int32)
    padded = numpy.append(words, numpy.zeros(width, dtype=numpy.int64))
    x, last_read = state, starts[:, None] - 1
    for turn in range(turns):
        slot = (x & ((1 << PRECISION) - 1)) + contexts_by_turn[turn]
        slots[turn] = slot
        entry = table.take(slot)
        x = (entry >> _OFFSET_BITS) * (x >> PRECISION) + (entry & ((1 << _OFFSET_BITS) - 1))
        empty = x < 1 << WORD_BITS
        positions = empty.cumsum(1) + last_read
        x = numpy.where(empty, (x << WORD_BITS) | padded.take(positions, mode="clip"), x)
        last_read = positions[:, -1:]
    read = slots.transpose(1, 0, 2).reshape(strings, turns * width)[:, :values]
    return symbol[read], last_read[:, 0] + 1 - starts


def _by_turn(values: NDArray[Whole], turns: int, width: int, filling: int) -> NDArray[Whole]:
    """Values in the order in which the states take them: (strings, values) → (turns, strings·width)."""
    strings, count = values.shape
    filled = numpy.full((strings, turns * width), filling, dtype=values.dtype)
    filled[:, :count] = values
    ordered: NDArray[Whole] = filled.reshape(strings, turns, width).transpose(1, 0, 2)
    return ordered.reshape(turns, strings * width)
