"""Leaderboards as pages that open from disk, with no network. Everything from records is escaped by the templates."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from actbench.info import MethodInfo
from actbench.leaderboard.board import Board, headline
from actbench.leaderboard.findings.ceilings import of_ceiling
from actbench.leaderboard.findings.methods import Standing, standings
from actbench.leaderboard.findings.pairs import between_boards
from actbench.leaderboard.markdown import RANKS, over_ceilings_rows, over_ceilings_text
from actbench.leaderboard.pages.chooser import choices
from actbench.leaderboard.pages.citation import bibtex
from actbench.leaderboard.pages.commands import command_of
from actbench.leaderboard.pages.machines import machines, short
from actbench.leaderboard.pages.sections import sections
from actbench.leaderboard.pages.tables import renewals, table
from actbench.leaderboard.pictures.differences import differences_at
from actbench.leaderboard.pictures.drawing import Drawing
from actbench.leaderboard.pictures.marks import Marks
from actbench.leaderboard.pictures.record import footprint_of, memory_of
from actbench.leaderboard.pictures.svg import svg_in_page
from actbench.leaderboard.pictures.trade import trades_of_board
from actbench.leaderboard.places import board_places
from actbench.leaderboard.row import Row
from actbench.records.columns import table_columns
from actbench.records.conformance import Conformance
from actbench.records.places import place
from actbench.records.record import Record
from actbench.records.verification import Verification

_ASSETS = ("style.css", "board.js", "choose.js")


class Site:
    """Renders the pages of all boards, by workload. `assets` are what they share."""

    def __init__(self, boards_of: Mapping[str, Sequence[Board]]) -> None:
        self._boards_of = boards_of
        every = [board for of in boards_of.values() for board in of]
        self.marks = Marks(row.record.cell.method.name for board in every for row in board.rows)
        self._standings = standings(every)
        self._rows = {id(board): _by_method(board) for board in every}
        self._templates = _templates()

    def index(self, counts: Mapping[str, int], methods: Iterable[str]) -> str:
        """The front page: what is found on each workload, and how each method stands."""
        workloads = [self._workload(name, of, counts[name]) for name, of in self._boards_of.items()]
        standing = [(name, self._standings.get(name)) for name in methods]
        return self._render("index.html", workloads=workloads, methods=standing, root=".")

    def chooser(self) -> str:
        """The page that looks for what fits."""
        return self._render("choose.html", choices=choices(self._boards_of), root=".")

    def workload(self, name: str, count: int) -> str:
        """All boards of a workload."""
        return self._render("workload.html", root="../..", **self._workload(name, self._boards_of[name], count))

    def board(self, board: Board, page: str) -> str:
        """One board: a part for each ceiling, with findings, picture and table."""
        return self._render("board.html", root="../..", page=page, **self._board(board))

    def method(self, name: str, info: MethodInfo | None, conformance: Conformance | None = None) -> str:
        """One method: what it says of itself, where it is installed, what its checks found, and its rows."""
        boards = []
        for workload, shown in self._boards_of.items():
            for board, page in zip(shown, board_places(shown), strict=True):
                rows = self._rows[id(board)].get(name, [])
                said = {"workload": workload, "title": board.key.title, "page": f"boards/{place(workload)}/{page}.html"}
                boards += [said | table(board, rows, with_ceiling=True)] if rows else []
        standing: Standing | None = self._standings.get(name)
        columns_of = {board["track"]: board["columns"] for board in boards}
        values = {"name": name, "info": info, "boards": boards, "standing": standing, "conformance": conformance}
        return self._render("method.html", root="..", columns_of=columns_of, **values)

    def record(self, record: Record, verification: Verification | None = None) -> str:
        """One record, whole."""
        measured = record.measurements
        return self._render(
            "record.html",
            record=record,
            cell=record.cell,
            sections={title: of for title, of in sections(record).items() if title != "environment"},
            machines=machines(record, verification),
            verification=verification,
            command=command_of(record.cell),
            citation=bibtex(record),
            footprint=footprint_of(measured),
            memory=memory_of(measured.memory),
            spec=json.dumps(record.spec, indent=1),
            root="../../..",
        )

    def assets(self) -> dict[str, str]:
        """File names and texts."""
        folder = resources.files("actbench.leaderboard") / "templates"
        return {name: (folder / name).read_text("utf-8") for name in _ASSETS}

    def _workload(self, name: str, shown: Sequence[Board], count: int) -> dict[str, Any]:
        first, places = headline(shown), board_places(shown)
        return {
            "name": name,
            "count": count,
            "boards": [(board, f"{page}.html", len(board.rows)) for board, page in zip(shown, places, strict=True)],
            "first": first,
            "first_page": f"{places[list(map(id, shown)).index(id(first))]}.html",
            "findings": [(ceiling, list(of_ceiling(first, ceiling))) for ceiling in first.ceilings],
            "has_picture": any(row.holds for row in first.rows),
            "between": between_boards(shown),
        }

    def _board(self, board: Board) -> dict[str, Any]:
        references = [row for row in board.rows if row.is_reference]
        ceilings: list[dict[str, Any]] = [
            {
                "ceiling": ceiling,
                "findings": list(of_ceiling(board, ceiling)),
                "picture": differences_at(board, ceiling, self.marks),
                "table": table(board, [*references, *rows]),
                "renewals": renewals(rows),
            }
            for ceiling, rows in board.ceilings.items()
        ]
        return {
            "board": board,
            "ceilings": ceilings,
            "references": table(board, references),
            "methods": sorted({row.record.cell.method.name for row in board.rows}),
            "statuses": list(dict.fromkeys(row.status for row in board.rows)),
            "trades": trades_of_board(board, self.marks),
            "over_ceilings": [(over_ceilings_text(over), over_ceilings_rows(over)) for over in board.over_ceilings],
            "failures": [row for one in ceilings for row in one["table"]["rows"] if row["status"] != "ok"],
            "legend": table_columns(board.track),
            "ranks": RANKS,
        }

    def _render(self, template: str, **values: Any) -> str:
        return self._templates.get_template(template).render(**values)


@cache
def _templates() -> Environment:
    """The templates, compiled once a process."""
    templates = Environment(
        loader=PackageLoader("actbench.leaderboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.filters |= {"place": place, "short": short, "picture": _picture}
    return templates


def _by_method(board: Board) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in board.rows:
        found.setdefault(row.record.cell.method.name, []).append(row)
    return found


def _picture(drawing: Drawing) -> Markup:
    """An SVG element: its writer has escaped all text in it."""
    return Markup(svg_in_page(drawing))
