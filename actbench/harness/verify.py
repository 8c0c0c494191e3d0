"""Repeats records' cells, and says where the repetitions differ from what was published."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from actbench.errors import UserError
from actbench.harness.executors import Executor
from actbench.harness.messages import Preparation
from actbench.harness.run import RunObserver, carry_out
from actbench.harness.schedule import ScheduledCell, unsupported_reason
from actbench.harness.source import plugin_of
from actbench.listing.identify import identify
from actbench.records.record import Record
from actbench.records.repetition import INTERVAL, Check, compare_measurements, digest_of, source_of, version_of
from actbench.records.store import Store
from actbench.registry import Registry
from actbench.spec import PROTOCOL, WorkloadSpec
from actbench.workloads.own.description import RANDOM, Description

_INTERVAL_TOLERANCE = 1e-6
_SHOWN_DIGITS = 16
_DIGEST = 64
"""Hexadecimal digits of a checkpoint's digest; weights that are in no file have a word in its place."""


@dataclass(frozen=True)
class Sources:
    """What records do not hold: where data and checkpoint are, and plugins given as files."""

    data: Path | None = None
    weights: Path | None = None
    plugin_files: tuple[Path, ...] = ()

    def own(self, workload: WorkloadSpec) -> Description | None:
        """What describes a network and images of the user's own, with the files that are here; None of a workload that
        is registered. His code is looked for in the folder that one stands in. Raises UserError where data, or a
        checkpoint, are not given."""
        if workload.own is None:
            return None
        weights = workload.digests.get("weights", "")
        if len(weights) == _DIGEST and self.weights is None:
            raise UserError(f"workload {workload.name} needs --weights: the checkpoint that it was measured with")
        there = RANDOM if weights == RANDOM else str(self.weights or "")
        return Description.from_canonical(workload.own, workload.name, self.data, there)


Identify = Callable[[WorkloadSpec], Mapping[str, str]]
"""The digests of a workload's parts as they are here."""


def identities(registry: Registry, sources: Sources) -> Identify:
    """The digests of workloads' parts, each workload's computed once."""
    known: dict[str, Mapping[str, str]] = {}

    def digests(workload: WorkloadSpec) -> Mapping[str, str]:
        own = sources.own(workload)
        if own is not None:
            return own.digests()
        return identify(registry.workload(workload.name), sources.data, sources.weights, registry.files)

    def identified(workload: WorkloadSpec) -> Mapping[str, str]:
        said = json.dumps([workload.name, workload.own], sort_keys=True)
        if said not in known:
            known[said] = digests(workload)
        return known[said]

    return identified


def check_environment(record: Record, registry: Registry, identified: Identify) -> list[Check]:
    """Whether this machine has the protocol, the plugin and the workload's parts that the record was made with. Raises
    UserError where the workload or the method is not there at all, or an option that the record names."""
    spec = record.cell
    method = registry.method(spec.method.name)
    digests = identified(spec.workload)
    method.resolve(spec.method.options)
    checks = [
        _equal("protocol", str(spec.protocol), str(PROTOCOL)),
        _equal(version_of(method.name), spec.method.version, method.version),
        _check_source(record, registry),
    ]
    names = sorted({*spec.workload.digests, *digests})
    return checks + [
        _equal(digest_of(name), spec.workload.digests.get(name, "–"), digests.get(name, "–")) for name in names
    ]


def _check_source(record: Record, registry: Registry) -> Check:
    """Whether the plugin's source is the one that the record names; a record of before that was kept names none."""
    name = record.cell.method.name
    plugins = (record.environment.plugin if record.environment else None, plugin_of(name, registry))
    published, here = ("–" if plugin is None else plugin.source for plugin in plugins)
    return Check(source_of(name), published[:_SHOWN_DIGITS], here[:_SHOWN_DIGITS], published in ("–", here))


Report = Callable[[Record, list[Check], Record | None], None]
"""Told of each record: what was checked of it, and its repetition; None where there is nothing to repeat."""


def repeat_records(
    records: Sequence[Record],
    registry: Registry,
    executor: Executor,
    sources: Sources,
    timeout: float,
    report: Report,
    watch: RunObserver,
) -> None:
    """Measures the cells of records again, while somebody watches, and compares, one after the other. Records of
    another network or other images than those that are here are not repeated. One worker serves all records of a
    workload, on a device, with as many images and threads."""
    for preparation, grouped in _by_preparation(records, sources).items():
        _repeat(grouped, preparation, registry, executor, timeout, report, watch)


def _by_preparation(records: Sequence[Record], sources: Sources) -> dict[Preparation, list[Record]]:
    grouped: dict[Preparation, list[Record]] = {}
    # Where a worker serves one method alone, it computes what cells share, a reference's training too, once for each.
    for record in sorted(records, key=lambda record: record.cell.method.name):
        workload, device = record.cell.workload, record.cell.device
        # Sums are rounded otherwise on another number of threads, and here and there a code with them.
        threads = record.environment.threads if record.environment else None
        preparation = Preparation(
            workload.name,
            device,
            sources.data,
            sources.weights,
            workload.limit,
            sources.plugin_files,
            threads,
            own=sources.own(workload),
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
    watch: RunObserver,
) -> None:
    waiting: dict[str, list[tuple[Record, list[Check]]]] = {}
    identified = identities(registry, Sources(preparation.data, preparation.weights, preparation.plugin_files))
    for record in records:
        checks = check_environment(record, registry, identified)
        # Another source is said, and measured nevertheless: it may be another comment.
        if all(check.holds for check in checks if check.name != source_of(record.cell.method.name)):
            waiting.setdefault(record.key, []).append((record, checks))
        else:
            report(record, checks, None)

    class _Compare(RunObserver):
        started, step = watch.started, watch.step

        def ended(self, record: Record, path: Path) -> None:
            watch.ended(record, path)
            for published, checks in waiting[record.key]:
                compared = [*compare_measurements(published, record), *check_interval(published)]
                report(published, checks + compared, record)

    cells = [same_cell[0][0].cell for same_cell in waiting.values()]
    scheduled = [ScheduledCell(cell, reason=unsupported_reason(cell, registry)) for cell in cells]
    with tempfile.TemporaryDirectory() as folder:
        carry_out(scheduled, preparation, executor, Store(Path(folder)), _Compare(), timeout, registry)


def check_interval(record: Record) -> list[Check]:
    """Whether the interval of the quality is the one that the record's own values of images give; nothing where the
    value is not their mean."""
    quality = record.measurements.quality
    if quality is None or quality.per_image is None or quality.factor is None:
        return []
    import torch

    from actbench.measure.quality import paired_bootstrap

    values, factor = torch.tensor(quality.per_image, dtype=torch.float64)[:, None], quality.factor
    again = paired_bootstrap(values, values, lambda means: factor * means[..., 0]).interval
    holds = all(abs(one - other) <= _INTERVAL_TOLERANCE for one, other in zip(quality.interval, again, strict=True))
    return [Check(INTERVAL, _text(quality.interval), _text(again), holds)]


def _text(interval: tuple[float, float]) -> str:
    return f"[{interval[0]:.6g}, {interval[1]:.6g}]"


def _equal(name: str, published: str, repeated: str) -> Check:
    return Check(name, published, repeated, published == repeated)
