"""The table of a run: one row a cell, as many columns as the terminal has room for."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from actbench.cli.tables import new_table, print_whole, say, whole_width
from actbench.info import Track
from actbench.records.column import NOTHING, Column
from actbench.records.columns import column, legend, table_columns
from actbench.records.names import row_names
from actbench.records.record import Record, Status
from actbench.settings import TRACKS
from actbench.text import visible

_STYLES: dict[Status, str] = {"ok": "green", "unsupported": "dim", "over_ceiling": "yellow"}

_LEAST_NEEDED: dict[Track, tuple[str, ...]] = {
    "inference": (
        "macs",
        "bits_per_value",
        "traffic_ratio",
        "own",
        "peak_ratio",
        "memory_bytes",
        "latency_ratio",
        "live_ratio",
        "difference",
    ),
    "training": (
        "payload_ratio",
        "gradient_cosine",
        "largest_batch",
        "step_ratio",
        "peak_step_ratio",
        "saved_ratio",
        "difference",
    ),
}
"""Columns in the order in which a narrow terminal goes without them."""


def style_of(status: Status) -> str:
    """The colour of a status."""
    return _STYLES.get(status, "red")


def print_table(records: Sequence[Record]) -> None:
    """One row a record, a table for each track, and what its columns mean. A terminal gets the columns that it has room
    for, anything else all of them."""
    console = Console()
    for track in TRACKS:
        rows = [record for record in records if record.cell.settings.track == track]
        if rows:
            table, left_out = fitting_table(rows, track, console.width if console.is_terminal else None)
            say(", ".join(_shared(rows)))
            print_whole(table)
            for line in ("", *legend(track, left_out), *_said(left_out), *_at_chance(rows), ""):
                say(line)


def fitting_table(records: Sequence[Record], track: Track, width: int | None) -> tuple[Table, list[str]]:
    """A table that is no wider than `width`, None for any, where that can be; and the names of the columns that it goes
    without."""
    left_out: list[str] = []
    table = results_table(records, track)
    for name in _LEAST_NEEDED[track]:
        if width is None or whole_width(table) <= width:
            break
        left_out.append(name)
        table = results_table(records, track, left_out)
    return table, left_out


def results_table(records: Sequence[Record], track: Track, left_out: Collection[str] = ()) -> Table:
    """What was asked for, and what was measured, but for the columns that are left out."""
    asked, measured = _asked(records), [shown for shown in table_columns(track) if shown.name not in left_out]
    table = new_table()
    for title in ("method", *(shown.title for shown in asked)):
        table.add_column(title, no_wrap=True)
    for shown in measured:
        table.add_column(escape(visible(_heading(shown, records))), justify="right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    for name, record in zip(row_names(records, seeds=False), records, strict=True):
        cells = [name, *(shown.text(record) or NOTHING for shown in asked), *(shown.text(record) for shown in measured)]
        table.add_row(*map(escape, cells), f"[{style_of(record.status)}]{record.status}")
    return table


def _shared(records: Sequence[Record]) -> list[str]:
    """What was asked for alike in all rows."""
    names = ["workload", "division"] + [name for name in ("bits", "last") if not _differ(name, records)]
    said = dict.fromkeys(str(column(name).value(record) or "") for name in names for record in _compressed(records))
    return [text for text in said if text]


def _asked(records: Sequence[Record]) -> list[Column[Record]]:
    """The ceiling, and beside it what is not the same for all."""
    others = ["of_fp32"] if any(record.cell.budget.ceiling.factor is None for record in records) else []
    others += [name for name in ("bits", "last", "seed") if _differ(name, records)]
    return [column(name) for name in ("ceiling", *others)]


def _differ(name: str, records: Sequence[Record]) -> bool:
    return len({column(name).value(record) for record in _compressed(records)}) > 1


def _compressed(records: Sequence[Record]) -> Sequence[Record]:
    """All but references, which have no bits; or those, where there is nothing else."""
    return [record for record in records if not record.cell.is_reference] or records


def _said(left_out: Sequence[str]) -> list[str]:
    titles = ", ".join(column(name).title for name in left_out)
    return [f"left out on a terminal of this width: {titles}; --json has all"] if left_out else []


def _at_chance(records: Sequence[Record]) -> list[str]:
    """A line where the network itself may be no better than the quality from which losses count."""
    for record in records:
        quality = record.measurements.quality
        if not record.cell.is_reference or quality is None or quality.reference_point is None:
            continue
        if min(quality.sign * end for end in quality.interval) <= quality.sign * quality.reference_point:
            value, point = column("quality").text(record), f"{quality.reference_point:g}"
            return [f"the network in fp32 is at chance, {value} against {point}: what methods lose of it says nothing"]
    return []


def _heading(shown: Column[Record], records: Sequence[Record]) -> str:
    """The quality's is the metric, which all records of a run share."""
    metric = next((text for record in records if (text := column("metric").value(record))), None)
    return str(metric) if shown.name == "quality" and metric else shown.title
