"""Findings in a file of the reader's own, between two marks."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath

from actbench.errors import UserError
from actbench.leaderboard.board import Board
from actbench.leaderboard.markdown import findings_text
from actbench.records.store import write_over

BEGIN = "<!-- findings: written by `actbench publish --readme` -->"
END = "<!-- end of findings -->"


def parts_around(readme: Path) -> tuple[str, str]:
    """What stands before and behind the findings of a file, with the marks. Raises UserError where it cannot be read,
    or has not both marks."""
    try:
        text = readme.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{readme} cannot be read: {error}") from error
    before, begin, rest = text.partition(BEGIN)
    _, end, behind = rest.partition(END)
    if not end:
        raise UserError(f"{readme} has no lines {BEGIN!r} and {END!r}: put them where the findings shall stand")
    return before + begin, end + behind


def write_findings(readme: Path, boards_of: Mapping[str, Sequence[Board]], folder: Path) -> None:
    """Writes what is found on each workload between the marks of a file, with links into the leaderboards' `folder`."""
    before, behind = parts_around(readme)
    root = PurePath(os.path.relpath(folder, readme.parent)).as_posix()
    write_over(readme, f"{before}\n{findings_text(boards_of, root)}\n{behind}".removesuffix("\n"))
