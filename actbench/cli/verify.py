"""`actbench verify`: are records what they say?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from actbench.cli.arguments import check_seconds
from actbench.cli.listing import PluginFiles
from actbench.cli.plugins import registered
from actbench.cli.tables import new_table, print_whole, say
from actbench.errors import UserError
from actbench.records.store import read_record, record_files

if TYPE_CHECKING:
    from actbench.records.record import Record
    from actbench.records.repetition import Check

_DIGEST = re.compile(r"\b([0-9a-f]{16})[0-9a-f]{48}\b")
"""A SHA-256, of which a table shows the beginning."""


def verify(
    records: Annotated[list[Path], typer.Argument(help="Files of records, or folders of them.")],
    data: Annotated[Path | None, typer.Option(help="The workload's data, where it needs any.")] = None,
    weights: Annotated[Path | None, typer.Option(help="The workload's checkpoint.")] = None,
    environment_only: Annotated[
        bool, typer.Option("--environment-only", help="Check form, digests and versions, and measure nothing.")
    ] = False,
    save: Annotated[bool, typer.Option("--save", help="Keep the result beside each record, for publish.")] = False,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that one cell may take.")] = 1800,
    executor: Annotated[str, typer.Option(help="How cells are carried out.")] = "local",
    plugin: PluginFiles = None,
) -> None:
    """Repeat records' cells and compare: the footprint exactly, quality within its interval, times within a factor."""
    from actbench.cli.progress import ProgressBar
    from actbench.harness.executors import Places
    from actbench.harness.verify import Sources, check_environment, identities, repeat_records

    if save and environment_only:
        raise UserError("--save keeps what a repetition found: leave --environment-only out")
    paths = record_files(records)
    published = [read_record(path) for path in paths]
    places = {id(record): path for record, path in zip(published, paths, strict=True)}
    registry = registered(plugin)
    holds = "the environment is the same" if environment_only else "verified"
    failed = []
    bar = ProgressBar([record.cell for record in published], Console(stderr=True))

    def report(record: Record, checks: Sequence[Check], repeated: Record | None) -> None:
        if repeated is None:
            bar.passed_over(record.key)
        failed.extend([record] if not all(check.holds for check in checks) else [])
        _show(record, checks, holds, alone=len(paths) == 1)
        if save and repeated is not None:
            _save(places[id(record)], record, checks, repeated)

    sources = Sources(data, weights, tuple(plugin or ()))
    if environment_only:
        identified = identities(registry, sources)
        for record in published:
            report(record, check_environment(record, registry, identified), None)
    else:
        engine, seconds = registry.load(registry.executor(executor).target)(Places()), check_seconds(timeout)
        with bar:
            repeat_records(published, registry, engine, sources, seconds, report, bar)
    if len(paths) > 1:
        say(f"{len(paths) - len(failed)} of {len(paths)} records hold")
    elif not failed:
        say(holds)
    if failed:
        raise typer.Exit(1)


def _save(path: Path, record: Record, checks: Sequence[Check], repeated: Record) -> None:
    from dataclasses import asdict
    from datetime import datetime, timezone

    from actbench.harness.environment import here
    from actbench.records.verification import CheckResult, Verification, digest, write_verification

    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    results = [CheckResult(**asdict(check)) for check in checks]
    where = repeated.environment or here()
    write_verification(path, Verification(record=digest(record), when=now, checks=results, environment=where))


def _show(record: Record, checks: Sequence[Check], holds: str, *, alone: bool) -> None:
    differing = [check for check in checks if not check.holds]
    unsteady = [check for check in checks if check.unsteady]
    if not alone:
        cell = record.cell
        what = f"{cell.method.name} {cell.budget} {cell.settings.track}"
        reasons = [f"{check.name}: {check.published}, here {check.repeated}" for check in differing]
        remarks = [f"{check.name}: not compared, {check.published}, here {check.repeated}" for check in unsteady]
        say(f"{record.key} {what}: {'; '.join([*(reasons or [holds]), *remarks])}")
        return
    table = new_table()
    for column in ("check", "published", "here", ""):
        table.add_column(column, no_wrap=True)
    for check in checks:
        figures = (escape(_DIGEST.sub(r"\1…", figure)) for figure in (check.published, check.repeated))
        table.add_row(escape(check.name), *figures, _verdict(check))
    print_whole(table)
    if differing:
        say(f"{len(differing)} of {len(checks)} checks do not hold")
    if unsteady:
        say(f"{len(unsteady)} of {len(checks)} are times whose quartiles are too far apart to be compared")


def _verdict(check: Check) -> str:
    if check.unsteady:
        return "[yellow]unsteady"
    return "[green]holds" if check.holds else "[red]differs"
