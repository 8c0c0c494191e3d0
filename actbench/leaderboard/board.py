"""Boards: the records that can be compared with each other, as rows with ranks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType

from actbench.info import MethodInfo, Track
from actbench.leaderboard.axes import Axis
from actbench.leaderboard.ceilings import OverCeilings, over_ceilings
from actbench.leaderboard.curves import pareto_front, steps
from actbench.leaderboard.rank import shared_ranks
from actbench.leaderboard.row import Row, sign_of
from actbench.leaderboard.versions import numbers
from actbench.records.columns import column
from actbench.records.names import row_names
from actbench.records.record import Record
from actbench.records.verification import Verification, digest
from actbench.settings import Settings
from actbench.spec import PROTOCOL, CellSpec, Device

COSTS: dict[Track, tuple[str, str]] = {
    "inference": ("latency_ratio", "memory_bytes"),
    "training": ("step_ratio", "peak_step_ratio"),
}
"""Time and memory: columns by which rows of one rank are ordered."""


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
        parts = {**workload.digests, "own": workload.own} if workload.own else workload.digests
        digests = json.dumps(parts, sort_keys=True)
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
    def ceilings(self) -> dict[str, tuple[Row, ...]]:
        """The rows at each ceiling, from the largest allowance to the least."""
        rows: dict[str, list[Row]] = {}
        for row in self.rows:
            if not row.is_reference:
                rows.setdefault(row.ceiling, []).append(row)
        return {ceiling: tuple(of) for ceiling, of in rows.items()}

    @cached_property
    def over_ceilings(self) -> tuple[OverCeilings, ...]:
        """What the ceilings of each kind say together."""
        return over_ceilings(self.rows, self.anchor)

    def front(self, axis: Axis) -> tuple[tuple[float, float], ...]:
        """The corners (place on an axis, quality) of the steps of what no row beats in both, from the best place on."""
        sign = -1 if axis.rising else 1
        points = [
            (sign * place, row.sign * row.quality.value)
            for row in self.rows
            if row.holds and row.quality is not None and (place := axis.place(row)) is not None
        ]
        of_quality = sign_of(self.rows)
        return tuple((sign * cost, of_quality * quality) for cost, quality in steps(pareto_front(points)))


def headline(shown_boards: Sequence[Board]) -> Board:
    """Of a workload's boards the first of the newest protocol: calibration alone before recovery, inference before
    training."""
    newest = max(board.key.protocol for board in shown_boards)
    return next(board for board in shown_boards if board.key.protocol == newest)


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
    cells = _by_cell(records)
    names = row_names([seeds[0] for seeds in cells], seeds=False)
    rows = [
        Row(seeds, name, None, _found(seeds, verifications), _is_older(seeds[0], methods))
        for seeds, name in zip(cells, names, strict=True)
    ]
    return tuple(sorted(_ranked(rows), key=_order))


def _by_cell(records: Sequence[Record]) -> list[tuple[Record, ...]]:
    """The records that differ in their seeds alone, and with them in the calibration images that these draw: one of
    each seed, the lowest first."""
    cells: dict[str, dict[int, Record]] = {}
    for record in sorted(records, key=lambda record: (record.cell.seed, record.cell.calibration)):
        cells.setdefault(replace(record.cell, seed=0, calibration=0).key, {})[record.cell.seed] = record
    return [tuple(seeds.values()) for seeds in cells.values()]


def _found(seeds: Sequence[Record], verifications: Mapping[str, Verification]) -> tuple[Verification, ...]:
    found = (verifications.get(digest(record)) for record in seeds) if verifications else ()
    return tuple(one for one in found if one is not None)


def _ranked(rows: Sequence[Row]) -> list[Row]:
    """The rows, those that hold a ceiling with their ranks at it."""
    holding: dict[str, list[Row]] = {}
    for row in rows:
        holding.setdefault(row.ceiling if row.holds else "", []).append(row)
    ranked = holding.pop("", [])
    for held in (sorted(rows, key=lambda row: row.name) for rows in holding.values()):
        ranks = shared_ranks([row.quality for row in held if row.quality is not None], held[0].sign)
        ranked += [replace(row, rank=rank) for row, rank in zip(held, ranks, strict=True)]
    return ranked


def _is_older(record: Record, methods: Mapping[str, MethodInfo]) -> bool:
    """Whether a newer version of the method is installed than the one that was measured."""
    installed = methods.get(record.cell.method.name)
    return installed is not None and numbers(record.cell.method.version) < numbers(installed.version)


def _order(row: Row) -> tuple[object, ...]:
    """Within a rank by time, then memory; where these are missing, or do not compare, last."""
    ceiling = row.record.cell.budget.ceiling
    rank = (row.rank is None, row.rank.number if row.rank else 0)
    costs = [row.comparable(column(name)) for name in COSTS[row.record.cell.settings.track]]
    return (
        not row.is_reference,
        ceiling.kind,
        ceiling.factor is None,
        ceiling.factor or -(ceiling.bits or 0),
        *rank,
        *((cost is None, cost or 0) for cost in costs),
        row.name,
    )
