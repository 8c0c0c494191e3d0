"""`actbench check`: the conformance kit on one method, without writing a test."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from actbench.cli.arguments import make_folder
from actbench.cli.listing import AsJson, PluginFiles
from actbench.cli.plugins import registered
from actbench.cli.run import parse_options
from actbench.cli.tables import say
from actbench.text import visible

if TYPE_CHECKING:
    from actbench.records.conformance import CheckOutcome

_STYLES = {"passed": "green", "failed": "red", "skipped": "dim"}


def check(
    method: Annotated[str, typer.Argument(help="A method, as `actbench methods` lists it.")],
    option: Annotated[list[str] | None, typer.Option(help="METHOD.NAME=VALUE; may be repeated.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="A results folder: the result is kept in its checks/, for publish.")
    ] = None,
    plugin: PluginFiles = None,
    as_json: AsJson = False,
) -> None:
    """Check that a method holds to the rules: each check is explained in docs/conformance.md."""
    registry = registered(plugin)
    info = registry.method(method)
    options = parse_options(option or [], registry).get(info.name, {})

    from actbench.records.conformance import FOLDER, write_conformance
    from actbench.testing import CHECKS, Subject, conduct

    if out is not None:
        make_folder("--out", out / FOLDER)
    console = Console(soft_wrap=True, highlight=False, emoji=False)

    def ended(outcome: CheckOutcome) -> None:
        if not as_json:
            style = _STYLES[outcome.status]
            reason = escape(visible(f": {outcome.reason}")) if outcome.reason else ""
            console.print(f"{outcome.number:>2} {outcome.name:<20} [{style}]{outcome.status}[/]{reason}")

    result = conduct(Subject(info.name, options, plugin or ()), CHECKS, ended)
    if out is not None:
        write_conformance(result, out / FOLDER / f"{info.name}.json")
    if as_json:
        console.print_json(result.model_dump_json(), ensure_ascii=True)
    else:
        say(f"{info.name}: {result.summary}")
    if not result.passed:
        raise typer.Exit(1)
