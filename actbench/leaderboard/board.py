"""Boards: the records that can be compared with each other, as rows with ranks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType

from actbench.info import MethodInfo, Track
from actbench.leaderboard.curves import REFERENCE_LOSS, Point, bd_rate, hypervolume, pareto_front
from actbench.leaderboard.rank import shared_ranks
from actbench.records.names import row_names
from actbench.records.record import Record
from actbench.records.verification import Verification, digest
from actbench.settings import Settings
from actbench.spec import PROTOCOL, CellSpec, Device


@dataclass(frozen=True)
class BoardKey:
    """What records of one board have in common: all but method, ceiling and seed.

    `digests`: of the workload's parts. `limit`: evaluation images, None for all.
    """

    protocol: int
    workload: str
    digests: str
    settings: Settings
    bits: str
    device: Device
    limit: int | None

    @classmethod
    def of(cls, cell: CellSpec) -> BoardKey:
        """The key of a cell's board."""
        workload = cell.workload
        digests = json.dumps(workload.digests, sort_keys=True)
        bits = str(cell.budget.bits)
        return cls(cell.protocol, workload.name, digests, cell.settings, bits, cell.device, workload.limit)

    @property
    def of_reference(self) -> BoardKey:
        """The same for a reference, which has no bits of its own, nor choices that are those of methods alone."""
        return replace(self, settings=self.settings.of_role("reference"), bits="")

    @property
    def title(self) -> str:
        """The key for people: `w8a2-8, inference, open (200 steps)`."""
        device = "" if self.device == "cpu" else self.device
        images = "" if self.limit is None else f"{self.limit} images"
        protocol = "" if self.protocol == PROTOCOL else f"protocol {self.protocol}"
        return ", ".join(filter(None, [self.bits, self.settings.title, device, images, protocol]))

    @property
    def order(self) -> tuple[object, ...]:
        """Boards stand in this order on a page."""
        settings = self.settings
        return (
            self.workload,
            settings.track,
            settings.division,
            settings.training_steps,
            self.title,
            self.digests,
            self.protocol,
        )


@dataclass(frozen=True)
class Row:
    """One record on a board. `rank`: among those that hold the same ceiling, None without one. `verification`: what its
    repetition found, where there was one. `is_older`: whether the method that is installed is of a newer version."""

    record: Record
    name: str
    rank: int | None = None
    verification: Verification | None = None
    is_older: bool = False

    @property
    def ceiling(self) -> str:
        """The ceiling as it was asked for; empty for the reference."""
        return "" if self.is_reference else str(self.record.cell.budget.ceiling)

    @property
    def is_reference(self) -> bool:
        """Whether this is the network as it is."""
        return self.record.cell.is_reference

    @property
    def mark(self) -> str:
        """Whether a repetition found the same, and when, and whether the version is an older one; empty without
        either."""
        found = ""
        if self.verification is not None:
            found = ("✓ " if self.verification.holds else "differs ") + self.verification.when.partition("T")[0]
        return ", ".join(filter(None, [found, "older version" if self.is_older else ""]))

    @property
    def point(self) -> Point | None:
        """Bits per original value and loss of quality, where both were measured."""
        measured, bits = self.record.measurements, self.record.measurements.bits_per_value
        if measured.quality is None or bits is None:
            return None
        return Point(bits, measured.quality.reference - measured.quality.value)


@dataclass(frozen=True)
class Board:
    """Rows that can be compared, and what follows from all ceilings together for each method."""

    key: BoardKey
    rows: tuple[Row, ...]
    anchor: str
    """The method against which BD-rates are."""

    @property
    def track(self) -> Track:
        """The track of all its rows."""
        return self.key.settings.track

    @cached_property
    def curves(self) -> Mapping[str, tuple[Point, ...]]:
        """The points of each method, by its name."""
        points: dict[str, list[Point]] = {}
        for row in self.rows:
            if row.record.status == "ok" and not row.is_reference and row.point is not None:
                points.setdefault(row.name, []).append(row.point)
        return {name: tuple(sorted(of)) for name, of in points.items()}

    @cached_property
    def front(self) -> tuple[Point, ...]:
        """The points that none beats in both."""
        return pareto_front([point for points in self.curves.values() for point in points])

    @cached_property
    def hypervolumes(self) -> Mapping[str, float]:
        """The hypervolume of each method, in octaves below fp32 × points of quality above a loss of REFERENCE_LOSS."""
        return {name: hypervolume(points, REFERENCE_LOSS) for name, points in self.curves.items()}

    @cached_property
    def bd_rates(self) -> Mapping[str, float | str]:
        """The BD-rate of each method against the anchor, in per cent of the bits, or the reason why there is none."""
        anchor = self.curves.get(self.anchor, ())
        return {name: bd_rate(anchor, points) for name, points in self.curves.items() if name != self.anchor}


def boards(
    records: Iterable[Record],
    anchor: str,
    verifications: Mapping[str, Verification] = MappingProxyType({}),
    methods: Mapping[str, MethodInfo] = MappingProxyType({}),
) -> list[Board]:
    """All boards of some records, in a fixed order. `anchor`: the name of the baseline. `verifications`: by the digest
    of the record. `methods`: those that are installed."""
    grouped: dict[BoardKey, list[Record]] = {}
    references: dict[BoardKey, list[Record]] = {}
    for record in records:
        key = BoardKey.of(record.cell)
        if record.cell.is_reference:
            references.setdefault(key.of_reference, []).append(record)
        else:
            grouped.setdefault(key, []).append(record)
    ordered = sorted(grouped.items(), key=lambda item: item[0].order)
    return [
        Board(key, _rows([*references.get(key.of_reference, []), *of], verifications, methods), anchor)
        for key, of in ordered
    ]


def _rows(
    records: Sequence[Record], verifications: Mapping[str, Verification], methods: Mapping[str, MethodInfo]
) -> tuple[Row, ...]:
    names = row_names(records)
    rows = [Row(record, name) for record, name in zip(records, names, strict=True)]
    ranks: dict[int, int] = {}
    holding: dict[str, list[Row]] = {}
    for row in rows:
        if row.ceiling and row.record.status == "ok" and row.record.measurements.quality:
            holding.setdefault(row.ceiling, []).append(row)
    for held in holding.values():
        ranks |= {id(row): rank for row, rank in zip(held, shared_ranks([r.record for r in held]), strict=True)}
    marks = {id(row): verifications.get(digest(row.record)) if verifications else None for row in rows}
    ranked = [
        Row(row.record, row.name, ranks.get(id(row)), marks[id(row)], _is_older(row.record, methods)) for row in rows
    ]
    return tuple(sorted(ranked, key=_order))


def _is_older(record: Record, methods: Mapping[str, MethodInfo]) -> bool:
    """Whether a newer version of the method is installed than the one that was measured."""
    installed = methods.get(record.cell.method.name)
    return installed is not None and _numbers(record.cell.method.version) < _numbers(installed.version)


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"[0-9]{1,18}", version)]


def _order(row: Row) -> tuple[object, ...]:
    kind, factor = row.record.cell.budget.ceiling.kind, row.record.cell.budget.ceiling.factor
    return (not row.is_reference, kind, factor, row.rank is None, row.rank or 0, row.name, row.record.cell.seed)
