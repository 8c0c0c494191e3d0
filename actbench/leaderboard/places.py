"""What the files of a board are called."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from actbench.leaderboard.board import Board

_OTHERS = re.compile(r"[^a-z0-9]+")
_MOST = 80


def board_places(shown_boards: Sequence[Board]) -> list[str]:
    """The title of each board as a name of files: `w8a2-8-inference-closed`. Of several that are alike, others than the
    first are numbered."""
    places: Counter[str] = Counter()
    found: list[str] = []
    for board in shown_boards:
        place = _OTHERS.sub("-", board.key.title.lower()).strip("-")[:_MOST] or "board"
        places[place] += 1
        found.append(place if places[place] == 1 else f"{place}--{places[place]}")
    return found
