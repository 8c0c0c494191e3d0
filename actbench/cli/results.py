"""The table of a run: one row a cell."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from actbench.cli.tables import new_table, print_whole, say
from actbench.info import Track
from actbench.records.column import NOTHING, Column
from actbench.records.columns import column, legend, table_columns
from actbench.records.names import row_names
from actbench.records.record import Record
from actbench.settings import TRACKS
from actbench.text import visible

_STYLES = {"ok": "green", "unsupported": "dim", "over_ceiling": "yellow"}


def print_table(records: Sequence[Record]) -> None:
    """One row a record, a table for each track, and what its columns mean."""
    for track in TRACKS:
        rows = [record for record in records if record.cell.settings.track == track]
        if rows:
            print_whole(results_table(rows, track))
            for line in ("", *legend(track), ""):
                say(line)


def results_table(records: Sequence[Record], track: Track) -> Table:
    """What was asked for, and what was measured."""
    asked, measured = _asked(records), table_columns(track)
    table = new_table()
    for title in ("method", *(shown.title for shown in asked)):
        table.add_column(title, no_wrap=True)
    for shown in measured:
        table.add_column(escape(visible(_heading(shown, records))), justify="right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    for name, record in zip(row_names(records, seeds=False), records, strict=True):
        cells = [name, *(shown.text(record) or NOTHING for shown in asked), *(shown.text(record) for shown in measured)]
        table.add_row(*map(escape, cells), f"[{_STYLES.get(record.status, 'red')}]{record.status}")
    return table


def _asked(records: Sequence[Record]) -> list[Column[Record]]:
    """Ceiling and bits, and beside them what is not the same for all."""
    others = ["of_fp32"] if any(record.cell.budget.ceiling.factor is None for record in records) else []
    others += ["last"] if any(column("last").value(record) for record in records) else []
    others += ["seed"] if len({record.cell.seed for record in records}) > 1 else []
    return [column(name) for name in ("ceiling", "bits", *others)]


def _heading(shown: Column[Record], records: Sequence[Record]) -> str:
    """The quality's is the metric, which all records of a run share."""
    metric = next((text for record in records if (text := column("metric").value(record))), None)
    return str(metric) if shown.name == "quality" and metric else shown.title
