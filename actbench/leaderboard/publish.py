"""A leaderboard as files: tables to read (Markdown), to compute with (CSV, JSON), pages, and the records behind them.

The same records give the same bytes: nothing is dated but the records themselves.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from actbench.leaderboard.board import Board, boards
from actbench.leaderboard.flat import COLUMNS, flat
from actbench.leaderboard.markdown import index_page, workload_page
from actbench.leaderboard.site import Site
from actbench.records.schema import Record


@dataclass(frozen=True)
class Published:
    """What was written: the folder, and how much."""

    folder: Path
    workloads: int
    records: int


def publish(records: Sequence[Record], folder: Path, anchor: str) -> Published:
    """Writes everything; what an earlier call wrote for these workloads is replaced. `anchor`: the baseline's name."""
    by_workload: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda record: (record.cell.workload.name, record.key)):
        by_workload.setdefault(record.cell.workload.name, []).append(record)
    folder.mkdir(parents=True, exist_ok=True)
    site = Site()
    for name, own in by_workload.items():
        _write_workload(folder / name, name, own, boards(own, anchor), site)
    counts = {name: len(own) for name, own in by_workload.items()}
    _write(folder / "README.md", index_page(counts))
    _write(folder / "index.html", site.index(counts))
    _write(folder / "record.schema.json", json.dumps(Record.model_json_schema(), indent=1, sort_keys=True) + "\n")
    for asset, text in site.assets().items():
        _write(folder / asset, text)
    return Published(folder, len(by_workload), len(records))


def _write_workload(folder: Path, name: str, records: Sequence[Record], found: Sequence[Board], site: Site) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "records").mkdir(parents=True)
    rows = [flat(record) for record in records]
    _write(folder / "README.md", workload_page(name, found))
    _write(folder / "rows.json", json.dumps(rows, indent=1, allow_nan=False) + "\n")
    _write(folder / "rows.csv", _csv(rows))
    _write(folder / "index.html", site.workload(name, found))
    for record in records:
        stem = f"{record.key}-{record.attempt}"
        _write(folder / "records" / f"{stem}.json", record.model_dump_json() + "\n")
        _write(folder / "records" / f"{stem}.html", site.record(record))


def _csv(rows: Sequence[dict[str, object]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(COLUMNS), lineterminator="\n")
    writer.writeheader()
    writer.writerows([{name: _safe(value) for name, value in row.items()} for row in rows])
    return text.getvalue()


def _safe(value: object) -> object:
    """Text that a spreadsheet would take for a formula gets a quote in front."""
    return "'" + value if isinstance(value, str) and value.startswith(("=", "+", "-", "@")) else value


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
