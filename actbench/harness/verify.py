"""Repeats records' cells, and says where the repetitions differ from what was published."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from actbench.harness.executors import Executor
from actbench.harness.messages import Preparation
from actbench.harness.run import RunObserver, carry_out
from actbench.harness.schedule import ScheduledCell, unsupported_reason
from actbench.listing.identify import identify
from actbench.records.column import Column
from actbench.records.columns import COLUMNS
from actbench.records.record import Record
from actbench.records.store import Store
from actbench.registry import Registry
from actbench.spec import PROTOCOL

COUNT_TOLERANCE = 0.001
"""Relative, on another processor or torch than a record names: sums are rounded otherwise there, and a code here and
there, or a choice between two that are nearly equal, with them. On the same ones counts are exact."""

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
    digests = identify(workload, data, weights, registry.files)
    checks = [
        _equal("protocol", str(spec.protocol), str(PROTOCOL)),
        _equal(f"version of {method.name}", spec.method.version, method.version),
    ]
    names = sorted({*spec.workload.digests, *digests})
    return checks + [
        _equal(f"digest of {name}", spec.workload.digests.get(name, "–"), digests.get(name, "–")) for name in names
    ]


Report = Callable[[Record, list[Check], Record | None], None]
"""Told of each record: what was checked of it, and its repetition; None where there is nothing to repeat."""


def repeat_records(
    records: Sequence[Record],
    registry: Registry,
    executor: Executor,
    sources: Sources,
    timeout: float,
    report: Report,
) -> None:
    """Measures the cells of records again, and compares, one after the other. Records of another network or other
    images than those that are here are not repeated. One worker serves all records of a workload, on a device, with as
    many images and threads."""
    for preparation, grouped in _by_preparation(records, sources).items():
        _repeat(grouped, preparation, registry, executor, timeout, report)


def _by_preparation(records: Sequence[Record], sources: Sources) -> dict[Preparation, list[Record]]:
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
    return grouped


def _repeat(
    records: Sequence[Record],
    preparation: Preparation,
    registry: Registry,
    executor: Executor,
    timeout: float,
    report: Report,
) -> None:
    waiting: dict[str, list[tuple[Record, list[Check]]]] = {}
    for record in records:
        checks = check_environment(record, registry, preparation.data, preparation.weights)
        if all(check.holds for check in checks):
            waiting.setdefault(record.key, []).append((record, checks))
        else:
            report(record, checks, None)

    class _Compare(RunObserver):
        def ended(self, record: Record, path: Path) -> None:
            for published, checks in waiting[record.key]:
                report(published, checks + compare_measurements(published, record), record)

    cells = [same_cell[0][0].cell for same_cell in waiting.values()]
    scheduled = [ScheduledCell(cell, reason=unsupported_reason(cell, registry)) for cell in cells]
    with tempfile.TemporaryDirectory() as folder:
        carry_out(scheduled, preparation, executor, Store(Path(folder)), _Compare(), timeout)


def compare_measurements(published: Record, repeated: Record) -> list[Check]:
    """Status exactly, counts exactly or within COUNT_TOLERANCE, values within the published interval, ratios of time
    within LATENCY_TOLERANCE."""
    within = 0.0 if _same_arithmetic(published, repeated) else COUNT_TOLERANCE
    checks = [_compared(column, published, repeated, within) for column in COLUMNS if column.repeats is not None]
    return [_equal("status", published.status, repeated.status), *(check for check in checks if check is not None)]


def _compared(column: Column[Record], published: Record, repeated: Record, within: float) -> Check | None:
    first, second = (column.value(record) for record in (published, repeated))
    if first is None and second is None:
        return None
    name, texts = column.title, (column.text(published), column.text(repeated))
    if not isinstance(first, int | float) or not isinstance(second, int | float):
        said = ["not measured" if value is None else "measured" for value in (first, second)]
        return Check(name, said[0], said[1], holds=False)
    if column.repeats == "exact":
        return Check(name, *texts, holds=abs(first - second) <= within * max(first, second))
    if column.repeats == "ratio":
        return Check(name, *texts, holds=first / LATENCY_TOLERANCE <= second <= first * LATENCY_TOLERANCE)
    low, high = column.bounds(published) or (first, first)
    return Check(name, f"{first:.3f} [{low:.3f}, {high:.3f}]", f"{second:.3f}", holds=low <= second <= high)


def _equal(name: str, published: str, repeated: str) -> Check:
    return Check(name, published, repeated, published == repeated)


def _same_arithmetic(published: Record, repeated: Record) -> bool:
    """Whether both were measured on the same kind of processor, by as many threads of the same torch."""
    return _arithmetic(published) == _arithmetic(repeated)


def _arithmetic(record: Record) -> tuple[object, ...] | None:
    where = record.environment
    return (
        None if where is None else (where.versions.get("torch"), where.machine.get("cpu"), where.machine.get("threads"))
    )
