"""The command line in this process, and what may be said of what it prints."""

from __future__ import annotations

import io
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from actbench.cli import main

TERMINAL = {"TTY_COMPATIBLE": "1", "TERM": "dumb", "COLUMNS": "300"}
"""A terminal without colours, which would be escape sequences of ours."""


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err


def actbench(*arguments: str | Path) -> Said:
    """Carries out a command line. What it raises, users would see as a traceback: it is raised here too."""
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    line = ["actbench", *map(str, arguments)]
    with redirect_stdout(out), redirect_stderr(err), patch.object(sys, "argv", line), patch.dict(os.environ, TERMINAL):
        try:
            main()
        except SystemExit as left:
            code = left.code
    return Said(code if isinstance(code, int) else 0 if code is None else 1, out.getvalue(), err.getvalue())


def is_harmless(printed: str) -> bool:
    """Whether a terminal shows every character of it, and obeys none."""
    return all(line.isprintable() for line in printed.split("\n"))


def check_refused(said: Said) -> None:
    """Raises AssertionError where a command was not refused in one line, with exit code 2."""
    assert said.code == 2, f"exit code {said.code}: {said.text[:300]!r}"
    lines = said.err.splitlines()
    assert len(lines) == 1, f"{len(lines)} lines: {said.err[:500]!r}"
    assert lines[0].startswith("actbench: ")
    assert lines[0].isprintable(), ascii(lines[0])


def check_refused_or_harmless(said: Said) -> None:
    """Raises AssertionError where a command neither did what it should, nor was refused in one line."""
    assert "Traceback" not in said.text
    assert is_harmless(said.text), ascii(said.text[:2000])
    if said.code not in (0, 1):
        check_refused(said)
