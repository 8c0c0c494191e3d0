"""Files that are left out, and why: one that is damaged stops nobody who has good ones."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TextIO

from actbench.errors import UserError

_MOST_LINES = 20


@dataclass
class Skipped:
    """What was left out, each file once."""

    reasons: list[str] = field(default_factory=list)

    def add(self, error: UserError) -> None:
        """Takes down an error that names a file."""
        if str(error) not in self.reasons:
            self.reasons.append(str(error))

    def tell(self, stream: TextIO | None = None) -> None:
        """Says on standard error what was left out: a line for each of the first files, and how many more there are."""
        stream = stream or sys.stderr
        for reason in self.reasons[:_MOST_LINES]:
            print(f"skipped: {_printable(reason)}", file=stream)
        if more := len(self.reasons[_MOST_LINES:]):
            print(f"skipped: {more} more", file=stream)


def _printable(text: str) -> str:
    """Names of files and values in them may have control characters, which a terminal would obey."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
