"""What is left of a run takes about as long as cells took that are like those that are left."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING

from actbench.spec import CellSpec

if TYPE_CHECKING:
    from actbench.records.record import Record

_LIKENESS: tuple[Callable[[CellSpec], object], ...] = (
    lambda cell: (cell.method, cell.budget, cell.settings),
    lambda cell: (cell.method, cell.settings),
    lambda cell: (cell.settings.track, cell.settings.division, cell.is_reference),
    lambda cell: None,
)
"""What makes two cells alike, from the closest likeness to none."""

Kinds = tuple[str, ...]
"""What a cell shares with others that are like it, from the closest likeness to none."""


def kinds_of(cell: CellSpec) -> Kinds:
    """The kinds of cells that a cell is of."""
    return tuple(f"{level} {likeness(cell)!r}" for level, likeness in enumerate(_LIKENESS))


class Durations:
    """The seconds that cells took. Those of other workloads say nothing here, and are not to be added."""

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self._known: dict[str, tuple[float, int]] = {}  # of each kind their sum and number
        for record in records:
            self.add(record)

    def add(self, record: Record) -> None:
        """Takes down what a record's cell took."""
        if record.status == "unsupported":  # it ended before it began
            return
        for kind in kinds_of(record.cell):
            seconds, number = self._known.get(kind, (0.0, 0))
            self._known[kind] = seconds + record.seconds, number + 1

    def of(self, kinds: Kinds) -> float | None:
        """The mean of the cells that are most like one of these kinds; None where there is none at all."""
        known = next((self._known[kind] for kind in kinds if kind in self._known), None)
        return None if known is None else known[0] / known[1]

    def sum(self, cells: Collection[Kinds]) -> float | None:
        """What cells of these kinds take one after another; None where nothing is known of them."""
        each = [seconds for kinds in cells if (seconds := self.of(kinds)) is not None]
        return sum(each) if len(each) == len(cells) else None


def in_words(seconds: float) -> str:
    """About how long, for people: `40 s`, `12 min`, `3 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"
