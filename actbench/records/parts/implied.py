"""What numbers of a record imply of one another, in plain Python: a record is read by those who have no torch."""

from __future__ import annotations

from collections.abc import Sequence

EXACT = 1e-9
"""Relative: sums of the same doubles in another order differ by less."""


def expect(field: str, value: float, implied: float, why: str, *, scale: float = 0.0) -> None:
    """Raises ValueError unless a field has the value that others imply: counts exactly, others but for rounding of
    numbers as large as they are, or as `scale`."""
    whole = isinstance(value, int) and isinstance(implied, int)
    if not abs(value - implied) <= (0 if whole else EXACT * max(abs(value), abs(implied), scale)):
        raise ValueError(f"{field} is {value}, and {implied} {why}")


def require(holds: bool, complaint: str) -> None:
    """Raises ValueError unless something holds."""
    if not holds:
        raise ValueError(complaint)


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean."""
    return sum(values) / len(values)


def quantile(values: Sequence[float], share: float) -> float:
    """The quantile, linear between two values, as numpy and torch have it."""
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)
