"""A column: one thing that was measured, described once for all tables, files and comparisons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from actbench.info import Better

Value = bool | int | float | str | None
Source = TypeVar("Source")
Outer = TypeVar("Outer")
Answer = TypeVar("Answer")
Repeats = Literal["exact", "interval", "ratio"]
"""How a repetition compares: a count exactly, a value by its interval, a ratio of times within a factor."""

UNSTEADY = 0.1
"""The distance between a time's quartiles, as a share of its median, beyond which it does not compare."""

_PLACES = 2
"""Decimals of what does not say how many it has."""

NOTHING = "–"
"""What stands where nothing was measured."""


def number(value: Any, places: int = 2) -> str:
    """Whole numbers with separators, others with some decimals, text as it is."""
    if isinstance(value, float):
        return f"{value:,.{places}f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def signed_number(value: float, places: int = 2) -> str:
    """Some decimals with a sign."""
    return f"{value:+.{places}f}"


def ratio(value: float) -> str:
    """A ratio as text: `8.00x`."""
    return f"{value:.2f}x"


def share(value: float) -> str:
    """A share as text: `38 %`."""
    return f"{100 * value:.0f} %"


def scaled(value: int) -> str:
    """A large number as text: `62.8 M`."""
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if value >= size:
            return f"{value / size:.1f} {unit}"
    return str(value)


def kibibytes(value: int) -> str:
    """Bytes as `1,024 KiB`."""
    return f"{value / 1024:,.0f} KiB"


def _none(source: object) -> tuple[str, ...]:
    return ()


def _through(
    inner: Callable[[Outer], Source | None], ask: Callable[[Source], Answer] | None, nothing: Answer
) -> Callable[[Outer], Answer] | None:
    """What an outer source says where the inner one is asked; nothing where nobody asks."""
    if ask is None:
        return None
    return lambda outer: nothing if (source := inner(outer)) is None else ask(source)


@dataclass(frozen=True)
class Column(Generic[Source]):
    """One thing that was measured.

    `name`: in CSV files and data frames. `title`: the heading in tables. `help`: what it is, and in which unit, for a
    tooltip. `value`: None where it was not measured. `show`: a value as text. `better`: which direction is, if any.
    `interval`: the ends between which the value may be. `repeats`: how two measurements of it are compared, None for
    what follows from other columns or says nothing of a method. `remarks`: words that tables show behind the
    value; a time that has some does not compare. `direction` and `decimals`: which is better, and how many decimals it
    is shown with, where that depends on what was measured.
    """

    name: str
    title: str
    help: str
    value: Callable[[Source], Value]
    show: Callable[..., str] = number
    better: Better | None = None
    interval: Callable[[Source], tuple[float, float] | None] | None = None
    repeats: Repeats | None = None
    remarks: Callable[[Source], tuple[str, ...]] = _none
    direction: Callable[[Source], Better | None] | None = None
    decimals: Callable[[Source], int] | None = None

    def better_of(self, source: Source) -> Better | None:
        """Which direction is better, for what was measured."""
        return self.better if self.direction is None else self.direction(source)

    @property
    def is_time(self) -> bool:
        """Whether it is a ratio of times, which others' work on the machine changes; its interval is of quartiles."""
        return self.repeats == "ratio"

    def is_unsteady(self, source: Source) -> bool:
        """Whether it is a time whose quartiles are far apart."""
        value, ends = self.value(source), self.interval(source) if self.is_time and self.interval is not None else None
        return ends is not None and isinstance(value, int | float) and ends[1] - ends[0] > UNSTEADY * value

    def comparable(self, source: Source) -> Value:
        """The value, None for a time with remarks."""
        return None if self.is_time and self.remarks(source) else self.value(source)

    def of(self, inner: Callable[[Outer], Source | None]) -> Column[Outer]:
        """The same column of what holds the source, without a value where that is missing."""

        def value(outer: Outer) -> Value:
            source = inner(outer)
            return None if source is None else self.value(source)

        def remarks(outer: Outer) -> tuple[str, ...]:
            source = inner(outer)
            return () if source is None else self.remarks(source)

        return Column(
            self.name,
            self.title,
            self.help,
            value,
            self.show,
            self.better,
            _through(inner, self.interval, None),
            self.repeats,
            remarks,
            _through(inner, self.direction, self.better),
            _through(inner, self.decimals, _PLACES),
        )

    def text(self, source: Source) -> str:
        """The value as tables show it, with half of a 95 % interval where it has one, and with its
        remarks."""
        value = self.value(source)
        if value is None:
            return NOTHING
        ends = self.interval(source) if self.interval is not None else None
        places = _PLACES if self.decimals is None else self.decimals(source)
        half = "" if ends is None or self.is_time else f" ± {(ends[1] - ends[0]) / 2:.{places}f}"
        remarks = ", ".join(self.remarks(source))
        shown = self.show(value) if self.decimals is None else self.show(value, places)
        return shown + half + (f" ({remarks})" if remarks else "")

    def bounds(self, source: Source) -> tuple[float, float] | None:
        """The interval, or the value itself as one; None where there is no number."""
        if self.interval is not None:
            return self.interval(source)
        value = self.value(source)
        return (value, value) if isinstance(value, int | float) else None
