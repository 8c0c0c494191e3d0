"""A run: carries out what is left to do and writes a record the moment that each cell ends."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from pydantic import ValidationError

from actbench.harness.executors import CellResult, Executor, Listener
from actbench.harness.messages import Preparation
from actbench.harness.schedule import ScheduledCell
from actbench.harness.sharing import unclaimed
from actbench.harness.source import plugin_of
from actbench.records.claims import Claims
from actbench.records.measurements import Measurements
from actbench.records.parts.part import first_error
from actbench.records.record import Environment, Plugin, Record
from actbench.records.store import Store
from actbench.registry import Registry
from actbench.spec import CellSpec


class RunObserver:
    """An observer of a run that does nothing unless overridden."""

    def started(self, cell: CellSpec) -> None:
        """A cell begins."""

    def step(self, step: str, done: int, total: int) -> None:
        """A step of it is under way, `done` of `total` where that is known."""

    def ended(self, record: Record, path: Path) -> None:
        """A cell ended, and its record is on disk."""

    def elsewhere(self, cell: CellSpec) -> None:
        """Another run on the same store has measured a cell of this one."""


def carry_out(
    scheduled: Sequence[ScheduledCell],
    preparation: Preparation,
    executor: Executor,
    store: Store,
    observer: RunObserver,
    timeout: float,
    registry: Registry,
) -> None:
    """Runs the cells that have no record, and that no other run on the store is at; those that no method supports get
    theirs at once."""
    plugins: dict[str, Plugin | None] = {}

    def ended(result: CellResult) -> None:
        name = result.cell.method.name
        if name not in plugins:
            plugins[name] = plugin_of(name, registry)
        path, record = store.add(to_record(result, plugins[name]))
        claims.give_back(result.cell.key)
        observer.ended(record, path)

    left = [one for one in scheduled if one.status is None]
    with Claims(store.claims) as claims:
        reasons = {one.cell.key: one.reason for one in left if one.reason}
        for cell in unclaimed([one for one in left if one.reason], store, claims, observer.elsewhere):
            if cell is not None:
                started = datetime.now(timezone.utc).isoformat(timespec="seconds")
                ended(CellResult(cell, "unsupported", reasons[cell.key], started))
        to_run = [one for one in left if not one.reason]
        if to_run:
            shared = unclaimed(to_run, store, claims, observer.elsewhere)
            executor.run(preparation, shared, Listener(observer.started, observer.step, ended), timeout)


def to_record(result: CellResult, plugin: Plugin | None = None) -> Record:
    """A checked record. Measurements that do not have the form of one make the cell `invalid`: nothing is lost, and
    nothing that is not a number gets into a table. `plugin`: what brought the method."""
    status, reason, measurements = result.status, result.reason, Measurements()
    try:
        measurements = Measurements.model_validate(result.measurements)
    except ValidationError as error:
        status, reason = "invalid", f"measured {first_error(error)}"
    fields = {
        "key": result.cell.key,
        "spec": result.cell.canonical(),
        "started": result.started,
        "seconds": result.seconds,
        "environment": _environment(result, plugin),
        "warnings": result.warnings,
    }
    try:
        return Record.model_validate(fields | {"status": status, "reason": reason, "measurements": measurements})
    except ValidationError as error:
        return Record.model_validate(fields | {"status": "invalid", "reason": f"measured {first_error(error)}"})


def _environment(result: CellResult, plugin: Plugin | None) -> Environment | None:
    """Where the worker says that it ran, and the plugin that the parent knows: the worker runs the plugin's code."""
    return Environment.model_validate(result.environment | {"plugin": plugin}) if result.environment else None
