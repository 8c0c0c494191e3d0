"""Boards: the records that can be compared with each other, as rows with ranks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

from actbench.budget import REFERENCE
from actbench.leaderboard.curves import REFERENCE_LOSS, Point, bd_rate, hypervolume, pareto_front
from actbench.leaderboard.rank import shared_ranks
from actbench.records.schema import Record
from actbench.records.verification import Verification, digest

_AXES = ("track", "division", "recover", "recipe", "last", "normalisation", "bits", "device", "limit")
_OF_NO_REFERENCE = ("bits", "normalisation")


@dataclass(frozen=True)
class BoardKey:
    """What records of one board have in common: all but method, ceiling and seed.

    `settings`: track, division, steps, recipe, layers trained, normalisations, bits, device, images; `digests` of the
    workload's parts.
    """

    workload: str
    settings: tuple[tuple[str, Any], ...]
    digests: str

    @property
    def title(self) -> str:
        """For people: `w8a2-8, inference, open (200 steps)`."""
        values = dict(self.settings)
        steps = f" ({values['recover']} steps)" if values["recover"] else ""
        division = "" if values["track"] == "training" else f"{values['division']}{steps}"
        layers = f"{'all' if values['last'] is None else 'last ' + str(values['last'])} layers{steps}"
        parts = [values["bits"], values["track"], division or layers]
        parts += [] if values["recipe"] == "protocol" else ["papers' recipes"]
        parts += [] if values["normalisation"] == "quantised" else [f"normalisations {values['normalisation']}"]
        parts += [] if values["device"] == "cpu" else [values["device"]]
        parts += [] if values["limit"] is None else [f"{values['limit']} images"]
        return ", ".join(parts)


@dataclass(frozen=True)
class Row:
    """One record on a board. `rank`: among those that hold the same ceiling, None without one. `verification`: what its
    repetition found, where there was one."""

    record: Record
    name: str
    rank: int | None = None
    verification: Verification | None = None

    @property
    def ceiling(self) -> str:
        """As it was asked for; empty for the reference."""
        return "" if self.is_reference else str(self.record.spec["ceiling"])

    @property
    def is_reference(self) -> bool:
        """Whether this is the network as it is."""
        return is_reference(self.record)

    @property
    def point(self) -> Point | None:
        """Bits per original value and loss of quality, where both were measured."""
        measured, bits = self.record.measurements, bits_per_value(self.record)
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
    def track(self) -> str:
        """inference or training"""
        return str(dict(self.key.settings)["track"])

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
        """Of each method, in octaves below fp32 times points of quality above a loss of REFERENCE_LOSS."""
        return {name: hypervolume(points, REFERENCE_LOSS) for name, points in self.curves.items()}

    @cached_property
    def bd_rates(self) -> Mapping[str, float | str]:
        """Of each method against the anchor, in per cent of the bits, or the reason why there is none."""
        anchor = self.curves.get(self.anchor, ())
        return {name: bd_rate(anchor, points) for name, points in self.curves.items() if name != self.anchor}


def boards(
    records: Iterable[Record], anchor: str, verifications: Mapping[str, Verification] = MappingProxyType({})
) -> list[Board]:
    """All boards of some records, in a fixed order. `anchor`: the name of the baseline. `verifications`: by the digest
    of the record."""
    grouped: dict[BoardKey, list[Record]] = {}
    for record in records:
        grouped.setdefault(_key(record), []).append(record)
    references = {key: _references(grouped, key) for key in grouped}
    for key, own in grouped.items():
        there = {record.key for record in own}
        own += [reference for reference in references[key] if reference.key not in there]
    ordered = sorted(grouped.items(), key=lambda item: (item[0].workload, str(item[0].settings), item[0].digests))
    return [Board(key, _rows(own, verifications), anchor) for key, own in ordered if not all(map(is_reference, own))]


def is_reference(record: Record) -> bool:
    """Whether a record is of the network as it is: no ceiling, and no quantisation."""
    return (record.spec["ceiling"], record.spec["bits"]) == (str(REFERENCE.ceiling), str(REFERENCE.bits))


def bits_per_value(record: Record) -> float | None:
    """Bits stored for each original value: of the maps on the inference track, of the saved inputs in training."""
    measured = record.measurements
    if (training := measured.training) is not None:
        if training.payload_bytes is None:
            return None
        return 32 * training.payload_bytes / max(1, training.reference_payload_bytes)
    return measured.footprint.bits_per_value if measured.footprint else None


def _key(record: Record) -> BoardKey:
    spec = dict(record.spec) | {"limit": record.spec["workload"]["limit"]}
    spec = {"recipe": "protocol", "last": None, "normalisation": "quantised"} | spec
    workload = record.spec["workload"]
    settings = tuple((name, spec[name]) for name in _AXES)
    return BoardKey(workload["name"], settings, json.dumps(workload["digests"], sort_keys=True))


def _references(grouped: Mapping[BoardKey, Sequence[Record]], key: BoardKey) -> list[Record]:
    """References have no bits of their own, nor a choice for normalisations: they stand on every board that differs
    from theirs in these alone."""
    settings = tuple((name, value) for name, value in key.settings if name not in _OF_NO_REFERENCE)
    return [
        record
        for other, records in grouped.items()
        if (other.workload, other.digests) == (key.workload, key.digests)
        and tuple((name, value) for name, value in other.settings if name not in _OF_NO_REFERENCE) == settings
        for record in records
        if is_reference(record)
    ]


def _rows(records: Sequence[Record], verifications: Mapping[str, Verification]) -> tuple[Row, ...]:
    names = row_names(records)
    rows = [Row(record, name) for record, name in zip(records, names, strict=True)]
    ranks: dict[int, int] = {}
    holding: dict[str, list[Row]] = {}
    for row in rows:
        if row.ceiling and row.record.status == "ok" and row.record.measurements.quality:
            holding.setdefault(row.ceiling, []).append(row)
    for held in holding.values():
        ranks |= {id(row): rank for row, rank in zip(held, shared_ranks([r.record for r in held]), strict=True)}
    found = {id(row): verifications.get(digest(row.record)) if verifications else None for row in rows}
    ranked = [Row(row.record, row.name, ranks.get(id(row)), found[id(row)]) for row in rows]
    return tuple(sorted(ranked, key=_order))


def _order(row: Row) -> tuple[object, ...]:
    kind, factor = row.record.cell.budget.ceiling.kind, row.record.cell.budget.ceiling.factor
    return (not row.is_reference, kind, factor, row.rank is None, row.rank or 0, row.name, row.record.spec["seed"])


def row_names(records: Sequence[Record], *, seeds: bool = True) -> list[str]:
    """Each record's method, with those of its options in which records of that method differ, and with `seeds` its seed
    where seeds differ."""
    several = seeds and len({record.spec["seed"] for record in records}) > 1
    methods = [record.spec["method"] for record in records]
    values: dict[tuple[str, str], list[object]] = {}
    for method in methods:
        for option, value in method["options"].items():
            values.setdefault((method["name"], option), []).append(value)
    count = {name: sum(method["name"] == name for method in methods) for name in {m["name"] for m in methods}}
    alike = {key for key, given in values.items() if given == given[:1] * count[key[0]]}
    names = []
    for record, method in zip(records, methods, strict=True):
        shown = [f"{name}={value}" for name, value in method["options"].items() if (method["name"], name) not in alike]
        seed = [f"seed {record.spec['seed']}"] if several else []
        names.append(" ".join([method["name"], *shown, *seed]))
    return names
