"""What the ceilings of one kind say together of each method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from actbench.leaderboard.curves import Point, bd_rate, hypervolume
from actbench.leaderboard.row import Row, sign_of
from actbench.leaderboard.versions import of_newest


@dataclass(frozen=True)
class OverCeilings:
    """The points of each method by ceiling, for one `kind` of them. `anchor`: the method against which BD-rates are.
    `reference_point`: the quality from which hypervolumes count, None where records publish none, or several. `sign`:
    what qualities are multiplied by so that more is better, as those of the points are already."""

    kind: str
    curves: Mapping[str, Mapping[str, Point]]
    anchor: str
    reference_point: float | None
    sign: int = 1

    @cached_property
    def common(self) -> tuple[str, ...]:
        """The ceilings that all methods hold, in the order of the rows."""
        ceilings = dict.fromkeys(ceiling for points in self.curves.values() for ceiling in points)
        return tuple(one for one in ceilings if all(one in points for points in self.curves.values()))

    @cached_property
    def hypervolumes(self) -> Mapping[str, float | str]:
        """The hypervolume of each method over the common ceilings, in octaves below fp32 × units of quality above the
        reference point, or the reason why there is none."""
        return {name: self._hypervolume(points) for name, points in self.curves.items()}

    @cached_property
    def bd_rates(self) -> Mapping[str, float | str]:
        """The BD-rate of each other method against the anchor, in per cent of the bits, or the reason why there is
        none."""
        curves = {name: list(points.values()) for name, points in self.curves.items()}
        anchor = curves.get(self.anchor)
        none = f"no row of {self.anchor}"
        return {
            name: none if anchor is None else bd_rate(anchor, of) for name, of in curves.items() if name != self.anchor
        }

    def _hypervolume(self, points: Mapping[str, Point]) -> float | str:
        if self.reference_point is None:
            return "no reference point in the records"
        if not self.common:
            return "no ceiling that all hold"
        return hypervolume([points[ceiling] for ceiling in self.common], self.sign * self.reference_point)


def over_ceilings(rows: Sequence[Row], anchor: str) -> tuple[OverCeilings, ...]:
    """One for each kind of ceiling that rows hold, in the order of the rows; of each method's rows those of its newest
    version. `anchor`: the name of the method against which BD-rates are."""
    curves: dict[str, dict[str, dict[str, Point]]] = {}
    rows = of_newest(rows)
    anchor = next((row.name for row in rows if row.record.cell.method.name == anchor), anchor)
    for row in rows:
        if row.holds and row.point is not None:
            kind = row.record.cell.budget.ceiling.kind
            curves.setdefault(kind, {}).setdefault(row.name, {})[row.ceiling] = row.point
    published = {
        quality.reference_point for row in rows for record in row.records if (quality := record.measurements.quality)
    }
    (point,) = published if len(published) == 1 else (None,)
    return tuple(OverCeilings(kind, of, anchor, point, sign_of(rows)) for kind, of in curves.items())
