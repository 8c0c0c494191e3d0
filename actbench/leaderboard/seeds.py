"""Several seeds of the same cell as one value with its interval."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from actbench.leaderboard.board import Row
from actbench.records.names import row_names


@dataclass(frozen=True)
class OverSeeds:
    """A method at a ceiling over its seeds: means of quality and of the difference to the reference of the same seed,
    and half of their 95 % intervals (Student's t over seeds)."""

    name: str
    ceiling: str
    seeds: int
    quality: float
    quality_half: float
    difference: float
    difference_half: float


def over_seeds(rows: Sequence[Row]) -> list[OverSeeds]:
    """One for each method and ceiling that has at least two seeds, in the order of the rows."""
    grouped: dict[tuple[str, str, str, str], list[Row]] = {}
    for row in rows:
        if row.record.status == "ok" and row.record.measurements.quality is not None:
            method = row.record.cell.method
            key = (method.name, method.version, str(sorted(method.options.items())), row.ceiling)
            grouped.setdefault(key, []).append(row)
    groups = [seeded for seeded in grouped.values() if len(seeded) > 1]
    names = row_names([seeded[0].record for seeded in groups], seeds=False)
    return [_summary(name, seeded) for name, seeded in zip(names, groups, strict=True)]


def _summary(name: str, rows: Sequence[Row]) -> OverSeeds:
    qualities = [quality for row in rows if (quality := row.record.measurements.quality) is not None]
    value, half = _mean([quality.value for quality in qualities])
    difference, difference_half = _mean([quality.difference for quality in qualities])
    return OverSeeds(name, rows[0].ceiling, len(rows), value, half, difference, difference_half)


def _mean(values: Sequence[float]) -> tuple[float, float]:
    """The mean, and half of its 95 % interval."""
    from scipy.stats import t

    error = statistics.stdev(values) / math.sqrt(len(values))
    return statistics.fmean(values), float(t.ppf(0.975, len(values) - 1)) * error
