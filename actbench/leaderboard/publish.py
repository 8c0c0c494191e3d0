"""A leaderboard as files: tables to read (Markdown), to compute with (CSV, JSON), pages, and the records behind them.

The same records give the same bytes: nothing is dated but the records themselves.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from actbench.info import MethodInfo
from actbench.leaderboard.board import Board, boards
from actbench.leaderboard.flat import COLUMNS, flat
from actbench.leaderboard.markdown import index_page, workload_page
from actbench.leaderboard.places import place
from actbench.leaderboard.site import Site
from actbench.records.conformance import FOLDER, Conformance, write_conformance
from actbench.records.schema import Record
from actbench.records.verification import Verification, beside, digest


@dataclass(frozen=True)
class Published:
    """What was written: the folder, and how much."""

    folder: Path
    workloads: int
    records: int


def publish(
    records: Sequence[Record],
    folder: Path,
    anchor: str,
    methods: Mapping[str, MethodInfo] = MappingProxyType({}),
    verifications: Mapping[str, Verification] = MappingProxyType({}),
    conformance: Mapping[str, Conformance] = MappingProxyType({}),
) -> Published:
    """Writes everything; what an earlier call wrote for these workloads is replaced, each folder at once. `anchor`: the
    baseline's name. `methods`: those that are installed. `verifications`: by the digest of the record.
    `conformance`: by the name of the method."""
    by_workload: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda record: (record.cell.workload.name, record.key)):
        by_workload.setdefault(record.cell.workload.name, []).append(record)
    folder.mkdir(parents=True, exist_ok=True)
    site = Site()
    found = {name: boards(own, anchor, verifications) for name, own in by_workload.items()}
    for name, own in by_workload.items():
        with _replaced(folder / place(name)) as fresh:
            _write_workload(fresh, name, own, found[name], verifications, site)
    everything = [board for own in found.values() for board in own]
    names = sorted({record.cell.method.name for record in records})
    with _replaced(folder / "methods") as fresh:
        for name in names:
            _write(
                fresh / f"{place(name)}.html", site.method(name, methods.get(name), everything, conformance.get(name))
            )
    for name in names:
        if name in conformance:
            write_conformance(conformance[name], folder / FOLDER / f"{place(name)}.json")
    counts = {name: len(own) for name, own in by_workload.items()}
    _write(folder / "README.md", index_page(counts))
    _write(folder / "index.html", site.index(counts, names))
    _write(folder / "record.schema.json", json.dumps(Record.model_json_schema(), indent=1, sort_keys=True) + "\n")
    for asset, text in site.assets().items():
        _write(folder / asset, text)
    return Published(folder, len(by_workload), len(records))


def _write_workload(
    folder: Path,
    name: str,
    records: Sequence[Record],
    found: Sequence[Board],
    verifications: Mapping[str, Verification],
    site: Site,
) -> None:
    (folder / "records").mkdir()
    rows = [flat(record) for record in records]
    _write(folder / "README.md", workload_page(name, found))
    _write(folder / "rows.json", json.dumps(rows, indent=1, allow_nan=False) + "\n")
    _write(folder / "rows.csv", _csv(rows))
    _write(folder / "index.html", site.workload(name, found))
    for record in records:
        path = folder / "records" / f"{record.key}-{record.attempt}.json"
        verification = verifications.get(digest(record)) if verifications else None
        _write(path, record.model_dump_json() + "\n")
        _write(path.with_suffix(".html"), site.record(record, verification))
        if verification is not None:
            _write(beside(path), verification.model_dump_json() + "\n")


@contextmanager
def _replaced(folder: Path) -> Iterator[Path]:
    """An empty folder that takes the place of `folder` once it is filled: whatever happens, one of the two is there
    whole."""
    fresh = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        yield fresh
        fresh.chmod(0o755)
        old = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        if folder.exists():
            folder.rename(old / "old")
        fresh.rename(folder)
        shutil.rmtree(old)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


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
