"""Repeats records' cells, and says where the repetitions differ from what was published."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from actbench.harness.executors import Executor
from actbench.harness.messages import Preparation
from actbench.harness.plan import PlannedCell, unsupported_reason
from actbench.harness.run import Observer, carry_out
from actbench.info import load_target
from actbench.records.schema import Record
from actbench.records.store import Store
from actbench.registry import Registry
from actbench.spec import PROTOCOL

FOOTPRINT_TOLERANCE = 0.001
"""Relative, on another processor or torch than a record names: sums are rounded otherwise there, and a code here and
there, or a choice between two that are nearly equal, with them. On the same ones a footprint is exact."""

LATENCY_TOLERANCE = 2.0
"""Ratios of time may differ by this factor: other machines, and others' work on the same one, change them."""


@dataclass(frozen=True)
class Check:
    """One thing that should be as published."""

    name: str
    published: str
    repeated: str
    holds: bool


@dataclass(frozen=True)
class Sources:
    """What records do not hold: where data and checkpoint are, and plugins given as files."""

    data: Path | None = None
    weights: Path | None = None
    plugin_files: tuple[Path, ...] = ()


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


Found = Callable[[Record, list[Check], Record | None], None]
"""Told of each record: what was checked of it, and its repetition; None where there is nothing to repeat."""


def repeat(
    records: Sequence[Record],
    registry: Registry,
    executor: Executor,
    sources: Sources,
    timeout: float,
    found: Found,
) -> None:
    """Measures the cells of records again, and compares, one after the other. Records of another network or other
    images than those that are here are not repeated. One worker serves all records of a workload, on a device, with as
    many images and threads."""
    for preparation, own in _grouped(records, sources):
        _repeat(own, preparation, registry, executor, timeout, found)


def _grouped(records: Sequence[Record], sources: Sources) -> Iterator[tuple[Preparation, list[Record]]]:
    grouped: dict[Preparation, list[Record]] = {}
    for record in records:
        workload, device = record.cell.workload, record.cell.device
        # Sums are rounded otherwise on another number of threads, and here and there a code with them.
        threads = record.environment.machine.get("threads") if record.environment else None
        preparation = Preparation(
            workload.name,
            device,
            sources.data,
            sources.weights,
            workload.limit,
            sources.plugin_files,
            int(threads) if threads else None,
        )
        grouped.setdefault(preparation, []).append(record)
    yield from grouped.items()


def _repeat(
    records: Sequence[Record],
    preparation: Preparation,
    registry: Registry,
    executor: Executor,
    timeout: float,
    found: Found,
) -> None:
    waiting: dict[str, list[tuple[Record, list[Check]]]] = {}
    for record in records:
        checks = check_environment(record, registry, preparation.data, preparation.weights)
        if all(check.holds for check in checks):
            waiting.setdefault(record.key, []).append((record, checks))
        else:
            found(record, checks, None)

    class _Compare(Observer):
        def ended(self, record: Record, path: Path) -> None:
            for published, checks in waiting[record.key]:
                found(published, checks + compare_measurements(published, record), record)

    cells = [own[0][0].cell for own in waiting.values()]
    planned = [PlannedCell(cell, reason=unsupported_reason(cell, registry)) for cell in cells]
    with tempfile.TemporaryDirectory() as folder:
        carry_out(planned, preparation, executor, Store(Path(folder)), _Compare(), timeout)


def compare_measurements(published: Record, repeated: Record) -> list[Check]:
    """Status exactly, footprint exactly or within FOOTPRINT_TOLERANCE, quality within the published interval, ratios of
    time within LATENCY_TOLERANCE."""
    return [_equal("status", published.status, repeated.status), *_measured(published, repeated)]


def _measured(published: Record, repeated: Record) -> Iterator[Check]:
    own, new = published.measurements, repeated.measurements
    within = 0.0 if _same_arithmetic(published, repeated) else FOOTPRINT_TOLERANCE
    if own.footprint and new.footprint:
        for name, first, second in (
            ("peak", own.footprint.peak, new.footprint.peak),
            ("traffic", own.footprint.traffic, new.footprint.traffic),
        ):
            yield _count(f"{name}, bits at most", first.maximum, second.maximum, within)
            yield _count(f"{name}, bits on average", round(first.mean, 2), round(second.mean, 2), within)
    if own.training and new.training:
        yield _count("payloads, bytes", own.training.payload_bytes or 0, new.training.payload_bytes or 0, within)
        yield _count("saved, bytes", own.training.saved_bytes, new.training.saved_bytes, within)
        yield _close("time of a step, ratio", own.training.step.ratio, new.training.step.ratio)
    if own.quality and new.quality:
        low, high = own.quality.interval
        value = new.quality.value
        inside = low <= value <= high
        yield Check("quality", f"{own.quality.value:.3f} [{low:.3f}, {high:.3f}]", f"{value:.3f}", inside)
    if own.latency and new.latency:
        yield _close("latency, ratio", own.latency.ratio, new.latency.ratio)
    for name in ("footprint", "quality", "latency", "training"):
        if (getattr(own, name) is None) != (getattr(new, name) is None):
            there = ["not measured" if getattr(part, name) is None else "measured" for part in (own, new)]
            yield Check(name, there[0], there[1], holds=False)


def _equal(name: str, published: str, repeated: str) -> Check:
    return Check(name, published, repeated, published == repeated)


def _count(name: str, published: float, repeated: float, within: float) -> Check:
    near = abs(published - repeated) <= within * max(published, repeated)
    return Check(name, f"{published:,}", f"{repeated:,}", near)


def _same_arithmetic(published: Record, repeated: Record) -> bool:
    """Whether both were measured on the same kind of processor, by as many threads of the same torch."""
    where = (published.environment, repeated.environment)
    kinds = [own and (own.versions.get("torch"), own.machine.get("cpu"), own.machine.get("threads")) for own in where]
    return kinds[0] == kinds[1]


def _close(name: str, published: float, repeated: float) -> Check:
    near = published / LATENCY_TOLERANCE <= repeated <= published * LATENCY_TOLERANCE
    return Check(name, f"{published:.2f}", f"{repeated:.2f}", near)
