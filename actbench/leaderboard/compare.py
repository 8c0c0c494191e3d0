"""What changed between two sets of records, beyond what their intervals allow."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from actbench.leaderboard.board import row_names
from actbench.records.schema import Measurements, Record

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
    found = {}
    for record, name in zip(records, row_names(records), strict=True):
        spec = dict(record.spec) | {"method": {**record.spec["method"], "version": None}}
        label = f"{spec['workload']['name']}: {name} {spec['ceiling']} {spec['bits']}"
        found[json.dumps(spec, sort_keys=True)] = (label, record)
    return found


def _changes(cell: str, before: Record, after: Record) -> Iterator[Change]:
    if before.status != after.status:
        yield Change(cell, "status", before.status, after.status, "better" if after.status == "ok" else "worse")
    for measure, interval, more_is_better, form in _MEASURES:
        first, second = interval(before.measurements), interval(after.measurements)
        if first is None or second is None or not _apart(first, second):
            continue
        rose = second[0] > first[1]
        verdict: Verdict = "better" if rose == more_is_better else "worse"
        yield Change(cell, measure, _text(first, form), _text(second, form), verdict)


def _apart(first: Interval, second: Interval) -> bool:
    return first[1] < second[0] or second[1] < first[0]


def _text(interval: Interval, form: str) -> str:
    low, high = (format(end, form) for end in interval)
    return low if low == high else f"{low} … {high}"


def _exact(value: Callable[[Measurements], float | None]) -> Callable[[Measurements], Interval | None]:
    def interval(measured: Measurements) -> Interval | None:
        found = value(measured)
        return None if found is None else (found, found)

    return interval


_MEASURES: Iterable[tuple[str, Callable[[Measurements], Interval | None], bool, str]] = (
    ("quality", lambda m: m.quality.interval if m.quality else None, True, ".2f"),
    ("peak bits", _exact(lambda m: m.footprint.peak.maximum if m.footprint else None), False, ",.0f"),
    ("traffic bits", _exact(lambda m: m.footprint.traffic.maximum if m.footprint else None), False, ",.0f"),
    ("MACs", _exact(lambda m: m.compute.macs if m.compute else None), False, ",.0f"),
    ("memory bytes", _exact(lambda m: m.memory.peak_bytes if m.memory else None), False, ",.0f"),
    ("latency ratio", lambda m: m.latency.ratio_quartiles if m.latency else None, False, ".2f"),
    ("saved bytes", _exact(lambda m: m.training.saved_bytes if m.training else None), False, ",.0f"),
    ("time of a step", lambda m: m.training.step.ratio_quartiles if m.training else None, False, ".2f"),
)
"""Name, interval, whether more is better, and the form of its ends. Counts are exact; ratios of time have quartiles."""
