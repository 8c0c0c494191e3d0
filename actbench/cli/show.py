"""`actbench show`: one record, whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from actbench.cli.listing import AsJson
from actbench.cli.tables import new_table, print_whole, say
from actbench.errors import UserError
from actbench.records.store import read_record

if TYPE_CHECKING:
    from actbench.records.measurements import Measurements
    from actbench.records.parts.memory import Memory
    from actbench.records.parts.training import Training
    from actbench.records.record import Record

_BAR = 40
"""Characters of a bar as long as the larger peak."""


def show(
    records: Annotated[list[Path], typer.Argument(help="Files of records.", metavar="RECORD...")],
    memory: Annotated[bool, typer.Option("--memory", help="Only its memory, step by step.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show records: what was run, what came out, map by map, and where."""
    loaded = {path: read_record(path) for path in records}
    if as_json:
        forms = [record.model_dump(mode="json", context={"plain": True}) for record in loaded.values()]
        print(json.dumps(forms if len(forms) > 1 else forms[0], indent=1))
    elif memory:
        for path, record in loaded.items():
            _show_memory(path, record.measurements.memory)
    else:
        from actbench.cli.results import print_table

        print_table(list(loaded.values()))
        for record in loaded.values():
            if len(loaded) > 1:
                _say_title(f"{record.cell.method.name} {record.cell.budget}, {record.file_name}")
            _show(record)


def _show(loaded: Record) -> None:
    from actbench.leaderboard.pages.sections import sections

    for title, values in sections(loaded).items():
        _say_title(title)
        for name, value in values.items():
            _say_value(name, str(value))
    if loaded.measurements.footprint:
        _say_title("feature maps")
        print_whole(_maps(loaded.measurements))
    if training := loaded.measurements.training:
        _say_title("kept for backward")
        print_whole(_savers(training))
        _say_title("gradients on a fixed batch")
        print_whole(_gradients(training))


def _show_memory(path: Path, memory: Memory | None) -> None:
    from actbench.leaderboard.pages.sections import peak_text

    if memory is None or memory.timeline is None:
        raise UserError(f"{path} has no timeline of memory: run the cell again")
    table = new_table()
    table.add_column("step")
    for column in ("stored KiB", "peak KiB", "of fp32"):
        table.add_column(column, justify="right")
    table.add_column("")
    most = max(memory.peak_bytes, memory.reference_peak_bytes, 1)
    for step in memory.timeline:
        stored, working = (round(_BAR * size / most) for size in (step.stored_bytes, step.peak_bytes))
        sizes = (f"{size / 1024:,.1f}" for size in (step.stored_bytes, step.peak_bytes))
        share = f"{step.peak_bytes / max(1, memory.reference_peak_bytes):.2f}"
        table.add_row(escape(step.name), *sizes, share, "█" * stored + "░" * max(0, working - stored))
    print_whole(table)
    say(peak_text(memory) + "; █ stored when the step begins, ░ its most live bytes")


def _say_title(title: str) -> None:
    say("")
    say(title, "bold")


def _say_value(name: str, value: str) -> None:
    """A value of several lines, such as the last words of a worker, is shown in as many."""
    first, *others = value.splitlines() or [""]
    say(f"  {name}: {first}")
    for line in others:
        say(f"      {line}")


def _gradients(training: Training) -> Table:
    table = new_table()
    table.add_column("gradient of")
    table.add_column("cosine", justify="right")
    table.add_column("relative error", justify="right")
    for gradient in training.gradients:
        table.add_row(escape(gradient.name), f"{gradient.cosine:.5f}", f"{gradient.relative_error:.4f}")
    return table


def _savers(training: Training) -> Table:
    table = new_table()
    table.add_column("saved by")
    table.add_column("bytes", justify="right")
    for name, size in sorted(training.saved_by_module.items(), key=lambda item: -item[1]):
        table.add_row(escape(name or "the network itself"), f"{size:,}")
    return table


def _maps(measured: Measurements) -> Table:
    assert measured.footprint is not None
    table = new_table()
    table.add_column("map (first reader)")
    for column in ("C", "H", "W", "stored bits", "bits/value", "side", "static"):
        table.add_column(column, justify="right")
    table.add_column("choices")
    for row in measured.footprint.maps:
        choices = ", ".join(f"{name} {value}" for name, value in row.choices.items())
        bits = (
            f"{row.bits.maximum:,}",
            f"{row.bits.mean / row.elements:.2f}",
            f"{row.side_bits:,.0f}",
            f"{row.static_bits:,}",
        )
        sizes = map(str, (row.channels, row.height, row.width))
        table.add_row(escape(row.name), *sizes, *bits, escape(choices))
    return table
