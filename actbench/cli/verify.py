"""`actbench verify`: is a record what it says?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from actbench.cli.listing import PluginFiles
from actbench.cli.tables import new_table, print_whole
from actbench.info import load_target
from actbench.plugins import load_plugins
from actbench.records.store import read_record

if TYPE_CHECKING:
    from actbench.harness.verify import Check


def verify(
    record: Annotated[Path, typer.Argument(help="A record's file.")],
    data: Annotated[Path | None, typer.Option(help="The workload's data, where it needs any.")] = None,
    weights: Annotated[Path | None, typer.Option(help="The workload's checkpoint.")] = None,
    environment_only: Annotated[
        bool, typer.Option("--environment-only", help="Check form, digests and versions, and measure nothing.")
    ] = False,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that the cell may take.")] = 1800,
    executor: Annotated[str, typer.Option(help="How the cell is carried out.")] = "local",
    plugin: PluginFiles = None,
) -> None:
    """Repeat a record's cell and compare: the footprint exactly, quality within its interval, times within a factor."""
    from actbench.harness.messages import Preparation
    from actbench.harness.verify import check_environment, compare_measurements, repeat

    published = read_record(record)
    registry = load_plugins(plugin or ())
    checks = check_environment(published, registry, data, weights)
    cell = published.cell
    # With another network or other images there is nothing to compare.
    if not environment_only and all(check.holds for check in checks):
        engine = load_target(registry.executor(executor).target)()
        preparation = Preparation(
            cell.workload.name, cell.device, data, weights, cell.workload.limit, tuple(plugin or ())
        )
        checks += compare_measurements(published, repeat(published, preparation, engine, timeout))
    _show(checks)
    failed = sum(not check.holds for check in checks)
    verdict = "verified" if not environment_only else "the environment is the same"
    Console().print(verdict if not failed else f"{failed} of {len(checks)} checks do not hold", highlight=False)
    if failed:
        raise typer.Exit(1)


def _show(checks: Sequence[Check]) -> None:
    table = new_table()
    for column in ("check", "published", "here", ""):
        table.add_column(column, no_wrap=True)
    for check in checks:
        verdict = "[green]holds" if check.holds else "[red]differs"
        table.add_row(escape(check.name), escape(check.published), escape(check.repeated), verdict)
    print_whole(table)
