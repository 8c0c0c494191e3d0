"""`actbench methods`, `workloads` and `plugins`: what there is, from registrations alone."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from actbench.cli.plugins import registered
from actbench.cli.tables import new_table, print_whole

PluginFiles = Annotated[
    list[Path] | None, typer.Option("--plugin", help="A Python file with a plugin; may be repeated.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def methods(plugin: PluginFiles = None, as_json: AsJson = False) -> None:
    """List the methods that can be run."""
    infos = registered(plugin).methods.values()
    columns = ["method", "title", "tracks", "footprint", "learnable", "options", "version"]
    rows = (
        [
            info.name,
            info.title,
            ", ".join(info.tracks),
            info.guarantee,
            "yes" if info.learnable else "no",
            ", ".join(f"{option.name}={option.default}" for option in info.options),
            info.version,
        ]
        for info in infos
    )
    _show(as_json, [asdict(info) for info in infos], columns, rows)


def workloads(plugin: PluginFiles = None, as_json: AsJson = False) -> None:
    """List the workloads."""
    infos = registered(plugin).workloads.values()
    rows = ([info.name, info.title, info.metric, ", ".join(f"--{need}" for need in info.requires)] for info in infos)
    _show(as_json, [asdict(info) for info in infos], ["workload", "title", "metric", "needs"], rows)


def plugins(plugin: PluginFiles = None, as_json: AsJson = False) -> None:
    """List the plugins, what each provides, and why one could not be loaded."""
    reports = registered(plugin).plugins
    columns = ["plugin", "from", "version", "provides", "error, notes"]
    rows = (
        [
            report.name,
            report.source,
            report.version,
            ", ".join(report.provides),
            "; ".join(filter(None, [report.error, *report.notes])),
        ]
        for report in reports
    )
    _show(as_json, [asdict(report) for report in reports], columns, rows)


def _show(as_json: bool, data: list[dict[str, Any]], columns: list[str], rows: Iterable[list[str]]) -> None:
    if as_json:
        print(json.dumps(data, indent=1))
        return
    table = new_table()
    for column in columns:
        table.add_column(column, no_wrap=True)
    for row in rows:
        table.add_row(*map(escape, row))
    print_whole(table)
