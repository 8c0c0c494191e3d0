"""`actbench compare`: two sets of records, cell by cell."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from actbench.cli.listing import AsJson
from actbench.cli.tables import new_table, print_whole, say

if TYPE_CHECKING:
    from actbench.records.record import Record


def compare(
    before: Annotated[Path, typer.Argument(help="A record, a results folder, or a published leaderboard.")],
    after: Annotated[Path, typer.Argument(help="What to compare it with.")],
    as_json: AsJson = False,
) -> None:
    """What got better or worse from one set of records to another, beyond the intervals."""
    from actbench.leaderboard.compare import compare as compare_records

    comparison = compare_records(_load(before), _load(after))
    if as_json:
        print(json.dumps(asdict(comparison), indent=1))
        return
    table = new_table()
    for column in ("cell", "measure", "before", "after", ""):
        table.add_column(column, no_wrap=True)
    for change in comparison.changes:
        style = "green" if change.verdict == "better" else "red"
        row = (change.cell, change.measure, change.before, change.after)
        table.add_row(*map(escape, row), f"[{style}]{change.verdict}")
    if comparison.changes:
        print_whole(table)
    sides = f"{len(comparison.only_before)} only before, {len(comparison.only_after)} only after"
    say(f"{comparison.compared} cells compared, {len(comparison.changes)} changes; {sides}")
    if comparison.unlike:
        say(f"no cell is on both sides: those that are most alike differ in {', '.join(comparison.unlike)}")


def _load(path: Path) -> list[Record]:
    from actbench.leaderboard.frame import load_records
    from actbench.records.skipped import Skipped
    from actbench.records.store import read_record

    if not os.path.isdir(path):
        return [read_record(path)]
    skipped = Skipped()
    try:
        return load_records(path, skipped)
    finally:
        skipped.tell()
