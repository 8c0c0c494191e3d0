"""The pictures of boards and records, by the names of their files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from actbench.leaderboard.board import Board
from actbench.leaderboard.pictures.differences import differences_of_board
from actbench.leaderboard.pictures.drawing import Drawing
from actbench.leaderboard.pictures.marks import Marks
from actbench.leaderboard.pictures.paper import write_for_paper
from actbench.leaderboard.pictures.record import footprint_of, memory_of
from actbench.leaderboard.pictures.svg import svg_file
from actbench.leaderboard.pictures.trade import trades_as_one
from actbench.leaderboard.places import board_places
from actbench.records.record import Record

INCHES = {"column": 3.35, "page": 6.9}
"""Widths of a column, and of the page, in the layouts of journals with two columns."""


def pictures_of_boards(shown_boards: Sequence[Board], marks: Marks) -> dict[str, Drawing]:
    """Of each board of a workload what methods lose at its ceilings, and quality against its costs."""
    found: dict[str, Drawing] = {}
    for board, place in zip(shown_boards, board_places(shown_boards), strict=True):
        differences, trades = differences_of_board(board, marks), trades_as_one(board, marks)
        found |= {f"{place}-differences": differences} if differences.parts else {}
        found |= {f"{place}-trade": trades} if trades is not None else {}
    return found


def pictures_of_record(record: Record) -> dict[str, Drawing]:
    """What is stored of each map, and what is in memory step by step; without those that nothing was measured for."""
    name = Path(record.file_name).stem
    measured = record.measurements
    drawn = {f"{name}-footprint": footprint_of(measured), f"{name}-memory": memory_of(measured.memory)}
    return {name: drawing for name, drawing in drawn.items() if drawing is not None}


def write_pictures(
    drawings: dict[str, Drawing], folder: Path, formats: Iterable[str], width: str = "page"
) -> list[Path]:
    """Writes each drawing in each format (svg, pdf, png), those for papers in one of the widths INCHES. Raises
    UserError where matplotlib is missing for pdf or png."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for ending in formats:
        for name, drawing in drawings.items():
            path = folder / f"{name}.{ending}"
            if ending == "svg":
                path.write_text(svg_file(drawing), encoding="utf-8")
            else:
                write_for_paper(drawing, path, INCHES[width])
            written.append(path)
    return written
