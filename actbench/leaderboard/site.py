"""Leaderboards as pages that open from disk, with no network. Everything from records is escaped by the templates."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from actbench.feature_map import FLOAT_BITS
from actbench.info import MethodInfo
from actbench.leaderboard.axes import Axis, axes
from actbench.leaderboard.board import Board
from actbench.leaderboard.columns import columns, is_number
from actbench.leaderboard.markdown import RANKS, over_ceilings_rows, over_ceilings_text
from actbench.leaderboard.row import Row
from actbench.records.column import Column
from actbench.records.conformance import Conformance
from actbench.records.measurements import Measurements
from actbench.records.places import place
from actbench.records.record import Record
from actbench.records.verification import Verification
from actbench.spec import CellSpec
from actbench.workloads.own.description import RANDOM, arguments_of


class Site:
    """Renders pages; `assets` are what they share."""

    def __init__(self) -> None:
        self._templates = Environment(
            loader=PackageLoader("actbench.leaderboard"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )

    def index(self, counts: Mapping[str, int], methods: Iterable[str]) -> str:
        """The front page: workloads with how many records each has, and methods."""
        cards = [(name, place(name), count) for name, count in counts.items()]
        names = [(name, place(name)) for name in methods]
        return self._render("index.html", cards=cards, methods=names, root=".")

    def workload(self, name: str, shown_boards: Sequence[Board]) -> str:
        """All boards of a workload."""
        boards = [_board(board) for board in shown_boards]
        return self._render("workload.html", name=name, boards=boards, ranks=RANKS, root="../..")

    def method(
        self, name: str, info: MethodInfo | None, shown_boards: Sequence[Board], conformance: Conformance | None = None
    ) -> str:
        """One method: what it says of itself, where it is installed, what its checks found, and its rows."""
        boards = []
        for board in shown_boards:
            rows = [row for row in board.rows if row.record.cell.method.name == name]
            page = {"workload": board.key.workload, "folder": f"boards/{place(board.key.workload)}"}
            boards += [_table(board, rows) | page] if rows else []
        return self._render("method.html", name=name, info=info, boards=boards, conformance=conformance, root="..")

    def record(self, record: Record, verification: Verification | None = None) -> str:
        """One record, whole."""
        return self._render(
            "record.html",
            record=record,
            cell=record.cell,
            verification=verification,
            command=command_of(record.cell),
            spec=json.dumps(record.spec, indent=1),
            method=place(record.cell.method.name),
            workload=place(record.cell.workload.name),
            root="../../..",
        )

    def assets(self) -> dict[str, str]:
        """File names and texts."""
        from plotly.offline import get_plotlyjs

        folder = resources.files("actbench.leaderboard") / "templates"
        texts = {name: (folder / name).read_text("utf-8") for name in ("style.css", "board.js")}
        return texts | {"plotly.min.js": get_plotlyjs()}

    def _render(self, template: str, **values: Any) -> str:
        return self._templates.get_template(template).render(**values)


def command_of(cell: CellSpec) -> str:
    """The command that measures a cell again, for a shell: what a record says stays one word."""
    method, workload = cell.method, cell.workload
    described = ["--workload", workload.name] if workload.own is None else arguments_of(workload.name, workload.own)
    parts = ["actbench", "run", *described, "--methods", method.name]
    parts += ["--weights", RANDOM] if workload.digests.get("weights") == RANDOM else []
    if not cell.is_reference:
        parts += ["--ceilings", str(cell.budget.ceiling), "--bits", str(cell.budget.bits)]
    parts += cell.settings.arguments()
    parts += ["--seeds", str(cell.seed)] if cell.seed else []
    parts += ["--limit", str(workload.limit)] if workload.limit else []
    for name, value in method.options.items():
        parts += ["--option", f"{method.name}.{name}={value}"]
    return shlex.join([*parts, "--device", cell.device])


def _table(board: Board, rows: Sequence[Row]) -> dict[str, Any]:
    """Some rows of a board, with its columns."""
    shown = columns(board.track)
    return {
        "title": board.key.title,
        "columns": [{"title": column.title, "help": column.help, "numeric": is_number(column)} for column in shown],
        "rows": [_row(row, shown) for row in rows],
    }


def _board(board: Board) -> dict[str, Any]:
    table = _table(board, board.rows)
    shown = axes(board.track)
    return table | {
        "axes": shown,
        "fronts": {axis.column.name: board.front(axis) for axis in shown},
        "over_ceilings": [(over_ceilings_text(over), over_ceilings_rows(over)) for over in board.over_ceilings],
        "points": [point for row in board.rows if (point := _point(row, shown))],
        "failures": [row for row in table["rows"] if row["status"] != "ok"],
    }


def _row(row: Row, shown: Sequence[Column[Row]]) -> dict[str, Any]:
    return {
        "cells": [{"text": column.text(row), "sort": column.value(row)} for column in shown],
        "name": row.name,
        "ceiling": row.ceiling,
        "status": row.status,
        "reason": row.reason,
        "pages": [(_page_title(row, record), f"records/{Path(record.file_name).stem}.html") for record in row.records],
    }


def _page_title(row: Row, record: Record) -> str:
    return "record" if len(row.records) == 1 else f"seed {record.cell.seed}"


def _point(row: Row, shown: Sequence[Axis]) -> dict[str, Any] | None:
    """What the plot knows of a row."""
    quality, measured = row.quality, row.record.measurements
    if row.status != "ok" or quality is None or measured.quality is None:
        return None
    return {
        "name": row.name,
        "ceiling": row.ceiling,
        "quality": quality.value,
        "low": quality.interval[0],
        "high": quality.interval[1],
        "metric": f"{measured.quality.metric} {measured.quality.unit}".strip(),
        "at": {axis.column.name: axis.place(row) for axis in shown},
        "line": row.is_reference and row.point is not None,
        "bars": _bars(measured),
    }


def _bars(measured: Measurements) -> dict[str, Any] | None:
    """What a selected row shows: bits of each map, or bytes that each module keeps for backward."""
    if measured.footprint is not None:
        maps = measured.footprint.maps
        names, stored = [part.name for part in maps], [part.bits.maximum for part in maps]
        return {
            "unit": "bits an image",
            "names": names,
            "stored": stored,
            "fp32": [FLOAT_BITS * part.elements for part in maps],
        }
    if measured.training is not None:
        saved = measured.training.saved_by_module
        names = [name or "the network itself" for name in saved]
        return {"unit": "bytes kept for backward", "names": names, "stored": list(saved.values()), "fp32": []}
    return None
