"""A leaderboard as files: tables to read (Markdown), to compute with (CSV, JSON), pages, and the records behind them.

The same records give the same bytes: nothing is dated but the records themselves.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from actbench.info import MethodInfo
from actbench.leaderboard.board import Board, boards
from actbench.leaderboard.exchange import remove_leftovers, replaced_parts
from actbench.leaderboard.frame import load_records, load_verifications
from actbench.leaderboard.markdown import index_page, workload_page
from actbench.leaderboard.pictures.files import pictures_of_boards, write_pictures
from actbench.leaderboard.places import board_places
from actbench.leaderboard.readme import parts_around, write_findings
from actbench.leaderboard.record_pages import written_meanwhile
from actbench.leaderboard.site import Site
from actbench.records.columns import field_names, flat
from actbench.records.conformance import FOLDER, Conformance, load_conformance, write_conformance
from actbench.records.places import place
from actbench.records.record import Record
from actbench.records.skipped import Skipped
from actbench.records.store import Store, attempt
from actbench.records.verification import Verification, digest, write_verification

_FORMULA = re.compile(r"[\t\n]|[\s\0\u00ad\u200b-\u200f\u2060\ufeff]*[=+\-@＝＋－＠]")


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
    skipped: Skipped | None = None,
    readme: Path | None = None,
) -> Published:
    """Adds records to those that a folder has, and writes the pages of all of them anew; a record that is there is
    never changed or removed, and of each cell the newest attempt is shown. `anchor`: the baseline's name. `methods`:
    those that are installed. `verifications`: by the digest of the record. `conformance`: by the name of the method.
    What the folder has that is damaged is left as it is, out of the pages, and taken down in `skipped`. `readme`: a
    file with marks, between which findings are written. Raises UserError where it has none."""
    if readme is not None:
        parts_around(readme)
    store, skipped = Store(folder), skipped or Skipped()
    remove_leftovers(folder)
    ordered = sorted(records, key=lambda record: (record.cell.workload.name, record.key))
    places = store.add_missing(ordered)
    for path, record in zip(places, ordered, strict=True):
        if (verification := verifications.get(digest(record)) if verifications else None) is not None:
            write_verification(path, verification)
    known = {
        path: record.model_copy(update={"attempt": attempt(path)}) for path, record in zip(places, ordered, strict=True)
    }
    shown = load_records(folder, skipped, known)
    marks = {**load_verifications(folder, skipped), **verifications}
    for name in {record.cell.method.name for record in shown} & set(conformance):
        write_conformance(conformance[name], folder / FOLDER / f"{place(name)}.json")
    checked = {**load_conformance(folder, skipped), **conformance}
    by_workload = _by_workload(shown)
    boards_of = {name: boards(measured, anchor, marks, methods) for name, measured in by_workload.items()}
    with replaced_parts(folder) as fresh, written_meanwhile(_record_pages(fresh, shown), marks):
        _write_pages(fresh, by_workload, boards_of, methods, checked)
    if readme is not None:
        write_findings(readme, boards_of, folder)
    return Published(folder, len({record.cell.workload.name for record in shown}), len(shown))


def _write_pages(
    folder: Path,
    by_workload: Mapping[str, Sequence[Record]],
    boards_of: Mapping[str, Sequence[Board]],
    methods: Mapping[str, MethodInfo],
    conformance: Mapping[str, Conformance],
) -> None:
    site = Site(boards_of)
    for name, measured in by_workload.items():
        _write_workload(folder / "boards" / place(name), name, measured, boards_of[name], site)
    names = sorted({record.cell.method.name for measured in by_workload.values() for record in measured})
    for name in names:
        page = site.method(name, methods.get(name), conformance.get(name))
        _write(folder / "methods" / f"{place(name)}.html", page)
    counts = {name: len(measured) for name, measured in by_workload.items()}
    _write(folder / "README.md", index_page(boards_of, counts))
    _write(folder / "index.html", site.index(counts, names))
    _write(folder / "choose.html", site.chooser())
    _write(folder / "record.schema.json", json.dumps(Record.model_json_schema(), indent=1, sort_keys=True) + "\n")
    for asset, text in site.assets().items():
        _write(folder / asset, text)


def _record_pages(folder: Path, records: Sequence[Record]) -> list[tuple[Path, Record]]:
    """Where the page of each record goes."""
    boards_folder = folder / "boards"
    return [
        (
            boards_folder / place(record.cell.workload.name) / "records" / Path(record.file_name).with_suffix(".html"),
            record,
        )
        for record in records
    ]


def _by_workload(records: Sequence[Record]) -> dict[str, list[Record]]:
    by_workload: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda record: (record.cell.workload.name, record.key)):
        by_workload.setdefault(record.cell.workload.name, []).append(record)
    return by_workload


def _write_workload(
    folder: Path,
    name: str,
    records: Sequence[Record],
    shown_boards: Sequence[Board],
    site: Site,
) -> None:
    rows = [flat(record) for record in records]
    _write(folder / "README.md", workload_page(name, shown_boards))
    _write(folder / "rows.json", json.dumps(rows, indent=1, allow_nan=False) + "\n")
    _write(folder / "rows.csv", _csv(rows))
    _write(folder / "index.html", site.workload(name, len(records)))
    for board, name_of_page in zip(shown_boards, board_places(shown_boards), strict=True):
        _write(folder / f"{name_of_page}.html", site.board(board, name_of_page))
    write_pictures(pictures_of_boards(shown_boards, site.marks), folder, ["svg"])


def _csv(rows: Sequence[dict[str, object]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, field_names(), lineterminator="\n")
    writer.writeheader()
    writer.writerows([{name: _safe(value) for name, value in row.items()} for row in rows])
    return text.getvalue()


def _safe(value: object) -> object:
    """Text that a spreadsheet would take for a formula gets a quote in front: also behind white space and what cannot
    be seen, and with signs of full width. Line ends become line feeds, as a carriage return is not quoted: what follows
    it would be a row."""
    if not isinstance(value, str):
        return value
    text = value.replace("\r\n", "\n").replace("\r", "\n")
    return "'" + text if _FORMULA.match(text) else text


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
