"""What is left of a run takes about as long as cells took that are like those that are left."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
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


class Durations:
    """The seconds that cells took. Those of other workloads say nothing here, and are not to be added."""

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self._seconds: dict[tuple[int, str], list[float]] = {}
        for record in records:
            self.add(record)

    def add(self, record: Record) -> None:
        """Takes down what a record's cell took."""
        if record.status == "unsupported":  # it ended before it began
            return
        for level, likeness in enumerate(_LIKENESS):
            self._seconds.setdefault((level, repr(likeness(record.cell))), []).append(record.seconds)

    def of(self, cell: CellSpec) -> float | None:
        """The mean of the cells that are most like this one; None where there is none at all."""
        for level, likeness in enumerate(_LIKENESS):
            if seconds := self._seconds.get((level, repr(likeness(cell)))):
                return sum(seconds) / len(seconds)
        return None

    def sum(self, cells: Sequence[CellSpec]) -> float | None:
        """What cells take one after another; None where nothing is known of them."""
        each = [seconds for cell in cells if (seconds := self.of(cell)) is not None]
        return sum(each) if len(each) == len(cells) else None


def in_words(seconds: float) -> str:
    """About how long, for people: `40 s`, `12 min`, `3 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"
