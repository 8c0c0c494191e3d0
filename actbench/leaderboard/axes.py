"""What quality is drawn against: columns, each of them a footprint, a time, or memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from actbench.budget import Kind
from actbench.info import Track
from actbench.leaderboard.row import Row
from actbench.records.column import Column
from actbench.records.columns import column
from actbench.records.record import Record


@dataclass(frozen=True)
class Axis:
    """One choice of the plot. `ceiling`: the kind of ceiling that is on it, if any."""

    column: Column[Record]
    ceiling: Kind | Literal[""] = ""

    @property
    def title(self) -> str:
        """The column's title and what it is."""
        return f"{self.column.title}: {self.column.help}"

    @property
    def rising(self) -> bool:
        """Whether more is better."""
        return self.column.better == "more"

    def place(self, row: Row) -> float | None:
        """Where a row is on it, above zero; None where it was not measured, or does not compare."""
        value = row.comparable(self.column)
        return value if isinstance(value, int | float) and value > 0 else None


def axes(track: Track) -> tuple[Axis, ...]:
    """The axes of a track; the first is shown first."""
    if track == "training":
        others = map(Axis, map(column, ("saved_ratio", "peak_step_ratio", "step_ratio")))
        return (Axis(column("payload_ratio"), "traffic"), *others)
    others = map(Axis, map(column, ("latency_ratio", "memory_bytes")))
    kinds: tuple[Kind, ...] = ("peak", "traffic", "live")
    return (*(Axis(column(f"{kind}_ratio"), kind) for kind in kinds), *others)
