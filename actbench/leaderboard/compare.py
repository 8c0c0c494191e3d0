"""What changed between two sets of records, beyond what their intervals allow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal

from actbench.records.column import Column
from actbench.records.columns import COLUMNS
from actbench.records.names import row_names
from actbench.records.record import Record

_LOOKED_AT = 200
"""Cells of each side in which a reason is looked for why none is on both."""

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
    """All changes; how many cells were compared, and which are on one side only. `unlike`: where none was compared,
    the fields of the specification in which the cells that are most alike differ."""

    changes: tuple[Change, ...]
    compared: int
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    unlike: tuple[str, ...] = ()


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
        () if both else _least_unlike(before, after),
    )


def _least_unlike(before: Sequence[Record], after: Sequence[Record]) -> tuple[str, ...]:
    """In what the cells of two sides differ that differ least, by the names of the fields: `workload.limit`."""
    old, new = ([_fields(record) for record in side[:_LOOKED_AT]] for side in (before, after))
    differing = (
        {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)}
        for one, other in product(old, new)
    )
    return tuple(sorted(min(differing, key=lambda names: (len(names), sorted(names)), default=())))


def _fields(record: Record) -> dict[str, Any]:
    """What a cell is, but for the version of the method's plugin, a level deep."""
    fields: dict[str, Any] = {}
    for name, value in record.spec.items():
        fields |= {f"{name}.{inner}": value[inner] for inner in value} if isinstance(value, dict) else {name: value}
    fields.pop("method.version")
    return fields


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
