"""What changed between two sets of records, beyond what their intervals allow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from actbench.records.column import Column
from actbench.records.columns import COLUMNS
from actbench.records.names import row_names
from actbench.records.record import Record

Verdict = Literal["better", "worse"]
Interval = tuple[float, float]


@dataclass(frozen=True)
class Change:
    """One measure of one cell, before and after. `cell`: workload, method, ceiling and bits, for people."""

    cell: str
    measure: str
    before: str
    after: str
    verdict: Verdict


@dataclass(frozen=True)
class Comparison:
    """All changes; how many cells were compared, and which are on one side only."""

    changes: tuple[Change, ...]
    compared: int
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]


def compare(before: Sequence[Record], after: Sequence[Record]) -> Comparison:
    """Cells are the same where their specifications are, but for the version of the method's plugin."""
    old, new = _by_cell(before), _by_cell(after)
    both = [cell for cell in old if cell in new]
    changes = [change for cell in both for change in _changes(old[cell][0], old[cell][1], new[cell][1])]
    return Comparison(
        tuple(changes),
        len(both),
        tuple(label for cell, (label, _) in old.items() if cell not in new),
        tuple(label for cell, (label, _) in new.items() if cell not in old),
    )


def _by_cell(records: Sequence[Record]) -> dict[str, tuple[str, Record]]:
    cells = {}
    for record, name in zip(records, row_names(records), strict=True):
        cell = record.cell
        label = f"{cell.workload.name}: {name} {cell.budget}"
        cells[replace(cell, method=replace(cell.method, version="")).key] = (label, record)
    return cells


def _changes(cell: str, before: Record, after: Record) -> Iterator[Change]:
    if before.status != after.status:
        yield Change(cell, "status", before.status, after.status, "better" if after.status == "ok" else "worse")
    for column in COLUMNS:
        if column.repeats is None:
            continue
        first, second = column.bounds(before), column.bounds(after)
        if first is None or second is None or not _apart(first, second):
            continue
        rose = second[0] > first[1]
        verdict: Verdict = "better" if rose == (column.better_of(after) == "more") else "worse"
        yield Change(cell, column.title, _text(column, first), _text(column, second), verdict)


def _apart(first: Interval, second: Interval) -> bool:
    return first[1] < second[0] or second[1] < first[0]


def _text(column: Column[Record], interval: Interval) -> str:
    low, high = (f"{end:,.2f}".removesuffix(".00") if column.interval is None else f"{end:.2f}" for end in interval)
    return low if low == high else f"{low} … {high}"
