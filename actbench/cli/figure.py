"""`actbench figure`: the pictures of boards and records, as files."""

from __future__ import annotations

import os
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from actbench.cli.tables import say
from actbench.errors import UserError

if TYPE_CHECKING:
    from actbench.leaderboard.pictures.drawing import Drawing


class Format(str, Enum):
    """Of files: `svg` for pages, `pdf` and `png` for papers."""

    SVG = "svg"
    PDF = "pdf"
    PNG = "png"


class Width(str, Enum):
    """Of pictures for papers: one of two columns, or the page."""

    COLUMN = "column"
    PAGE = "page"


def figure(
    path: Annotated[Path, typer.Argument(help="A leaderboard, a results folder, or a record.")],
    out: Annotated[Path, typer.Option(help="The folder that they are written into.")] = Path("figures"),
    format: Annotated[list[Format] | None, typer.Option(help="Of the files; may be repeated.")] = None,
    width: Annotated[Width, typer.Option(help="Of pdf and png.")] = Width.PAGE,
) -> None:
    """Write pictures of boards (what methods lose, and quality against its costs) or of a record's maps and memory."""
    from actbench.leaderboard.pictures.files import write_pictures

    formats = [one.value for one in format or [Format.SVG]]
    drawings = _of_boards(path) if os.path.isdir(path) else _of_record(path)
    if not drawings:
        raise UserError(f"{path} has nothing that can be drawn: no row holds a ceiling, or nothing was measured")
    try:
        for written in write_pictures(drawings, out, formats, width.value):
            say(str(written))
    except OSError as error:
        raise UserError(f"cannot write into {out}: {error.strerror or error}") from error


def _of_record(path: Path) -> dict[str, Drawing]:
    from actbench.leaderboard.pictures.files import pictures_of_record
    from actbench.records.store import read_record

    return pictures_of_record(read_record(path))


def _of_boards(path: Path) -> dict[str, Drawing]:
    from actbench.leaderboard.board import boards
    from actbench.leaderboard.frame import load_records
    from actbench.leaderboard.pictures.files import pictures_of_boards
    from actbench.leaderboard.pictures.marks import Marks
    from actbench.records.places import place
    from actbench.records.skipped import Skipped

    skipped = Skipped()
    try:
        records = load_records(path, skipped)
    finally:
        skipped.tell()
    marks = Marks(record.cell.method.name for record in records)
    found: dict[str, Drawing] = {}
    for name in sorted({record.cell.workload.name for record in records}):
        of_workload = [record for record in records if record.cell.workload.name == name]
        drawn = pictures_of_boards(boards(of_workload, anchor=""), marks)
        found |= {f"{place(name)}-{picture}": drawing for picture, drawing in drawn.items()}
    return found
