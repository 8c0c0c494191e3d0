"""Scales: from values to places, with ticks at round numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_FARTHEST = 1e300
"""Numbers that only a forged record has are drawn at the end of a scale: their differences are none that there are."""


@dataclass(frozen=True)
class Scale:
    """The values from `low` to `high` between the places `first` and `last`; `is_log`: by their logarithms."""

    low: float
    high: float
    first: float
    last: float
    is_log: bool = False

    def place(self, value: float) -> float:
        """Where a value is; one beyond the ends is at the end."""
        low, high, inside = (self._of(one) for one in (self.low, self.high, min(max(value, self.low), self.high)))
        share = 0.5 if high == low else (inside - low) / (high - low)
        return self.first + share * (self.last - self.first)

    def ticks(self, most: int = 5) -> list[float]:
        """Round numbers between the ends."""
        return _octaves(self.low, self.high, most) if self.is_log else _round_numbers(self.low, self.high, most)

    def _of(self, value: float) -> float:
        return math.log2(value) if self.is_log else value


def covering(values: Sequence[float], first: float, last: float, *, is_log: bool = False) -> Scale:
    """A scale with all values on it, and a little room beside them."""
    low, high = max(min(values), -_FARTHEST), min(max(values), _FARTHEST)
    if is_log:
        room = max(1.05, (high / low) ** 0.04)
        return Scale(low / room, high * room, first, last, is_log=True)
    room = 0.04 * (high - low) or max(1e-9, abs(high) * 0.05) or 1.0
    return Scale(low - room, high + room, first, last)


def tick_text(value: float) -> str:
    """A tick's number, as short as it can be: `1,024`, `0.5`, `2 M`."""
    if value and not 1e-4 <= abs(value) < 1e7:
        return f"{value:.0e}"
    return f"{value:,.6g}" if abs(value) < 1e6 else f"{value / 1e6:g} M"


def _round_numbers(low: float, high: float, most: int) -> list[float]:
    span = high - low
    if not 0 < span < math.inf:
        return [low] if low == high else []
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(times * power for times in (1, 2, 2.5, 5, 10, 20) if times * power * most >= span)
    first = math.ceil(low / step)
    return [place * step for place in range(first, math.floor(high / step) + 1)]


def _octaves(low: float, high: float, most: int) -> list[float]:
    """Powers of two where there are two at least, else numbers at equal distances."""
    powers = range(math.ceil(math.log2(low)), math.floor(math.log2(high)) + 1)
    if len(powers) < 2:
        return [tick for tick in _round_numbers(low, high, most) if tick > 0]
    return [2.0**power for power in powers[:: math.ceil(len(powers) / (most + 2))]]
