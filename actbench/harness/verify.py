"""Repeats a record's cell, and says where the repetition differs from what was published."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from actbench.errors import UserError
from actbench.harness.executors import Executor
from actbench.harness.messages import Preparation
from actbench.harness.plan import PlannedCell
from actbench.harness.run import Observer, carry_out
from actbench.info import load_target
from actbench.plugins import Registry
from actbench.records.schema import Record
from actbench.records.store import Store
from actbench.spec import PROTOCOL

LATENCY_TOLERANCE = 2.0
"""Ratios of time may differ by this factor: other machines, and others' work on the same one, change them."""


@dataclass(frozen=True)
class Check:
    """One thing that should be as published."""

    name: str
    published: str
    repeated: str
    holds: bool


def check_environment(record: Record, registry: Registry, data: Path | None, weights: Path | None) -> list[Check]:
    """Whether this machine has the protocol, the plugin and the workload's parts that the record was made with. Raises
    UserError where the workload or the method is not there at all."""
    spec = record.cell
    workload, method = registry.workload(spec.workload.name), registry.method(spec.method.name)
    digests: dict[str, str] = load_target(workload.identify)(data, weights)
    checks = [
        _equal("protocol", str(spec.protocol), str(PROTOCOL)),
        _equal(f"version of {method.name}", spec.method.version, method.version),
    ]
    names = sorted({*spec.workload.digests, *digests})
    return checks + [
        _equal(f"digest of {name}", spec.workload.digests.get(name, "–"), digests.get(name, "–")) for name in names
    ]


def repeat(record: Record, preparation: Preparation, executor: Executor, timeout: float) -> Record:
    """The same cell, measured now; the new record is not kept."""
    kept: list[Record] = []

    class _Keep(Observer):
        def ended(self, record: Record, path: Path) -> None:
            kept.append(record)

    with tempfile.TemporaryDirectory() as folder:
        carry_out([PlannedCell(record.cell)], preparation, executor, Store(Path(folder)), _Keep(), timeout)
    if not kept:
        raise UserError("the cell could not be repeated: its worker did not start")
    return kept[0]


def compare_measurements(published: Record, repeated: Record) -> list[Check]:
    """Status and footprint exactly, quality within the published interval, ratios of time within LATENCY_TOLERANCE."""
    return [_equal("status", published.status, repeated.status), *_measured(published, repeated)]


def _measured(published: Record, repeated: Record) -> Iterator[Check]:
    own, new = published.measurements, repeated.measurements
    if own.footprint and new.footprint:
        for name, first, second in (
            ("peak", own.footprint.peak, new.footprint.peak),
            ("traffic", own.footprint.traffic, new.footprint.traffic),
        ):
            yield _equal(f"{name}, bits at most", f"{first.maximum:,}", f"{second.maximum:,}")
            yield _equal(f"{name}, bits on average", f"{first.mean:,.2f}", f"{second.mean:,.2f}")
    if own.training and new.training:
        yield _equal("payloads, bytes", str(own.training.payload_bytes), str(new.training.payload_bytes))
        yield _equal("saved, bytes", f"{own.training.saved_bytes:,}", f"{new.training.saved_bytes:,}")
        yield _close("time of a step, ratio", own.training.step.ratio, new.training.step.ratio)
    if own.quality and new.quality:
        low, high = own.quality.interval
        value = new.quality.value
        within = low <= value <= high
        yield Check("quality", f"{own.quality.value:.3f} [{low:.3f}, {high:.3f}]", f"{value:.3f}", within)
    if own.latency and new.latency:
        yield _close("latency, ratio", own.latency.ratio, new.latency.ratio)
    for name in ("footprint", "quality", "latency", "training"):
        if (getattr(own, name) is None) != (getattr(new, name) is None):
            there = ["not measured" if getattr(part, name) is None else "measured" for part in (own, new)]
            yield Check(name, there[0], there[1], holds=False)


def _equal(name: str, published: str, repeated: str) -> Check:
    return Check(name, published, repeated, published == repeated)


def _close(name: str, published: float, repeated: float) -> Check:
    near = published / LATENCY_TOLERANCE <= repeated <= published * LATENCY_TOLERANCE
    return Check(name, f"{published:.2f}", f"{repeated:.2f}", near)
