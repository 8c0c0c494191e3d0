"""What is strong and what is weak in each method, over all boards and ceilings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from actbench.leaderboard.board import COSTS, Board
from actbench.leaderboard.findings.ceilings import cheapest, collapses, tied
from actbench.leaderboard.findings.sentence import Link, Sentence, cost_text, link
from actbench.leaderboard.row import Row
from actbench.records.columns import column


@dataclass
class Standing:
    """The rows of one method, over boards and ceilings: all, and those of which something is said."""

    rows: list[Row] = field(default_factory=list)
    first: list[Row] = field(default_factory=list)
    alone: list[Row] = field(default_factory=list)
    fastest: list[Row] = field(default_factory=list)
    smallest: list[Row] = field(default_factory=list)
    collapsed: list[Row] = field(default_factory=list)
    failed: list[Row] = field(default_factory=list)

    @property
    def strengths(self) -> Sentence:
        """Where it is in the first rank, and where it is the cheapest there."""
        said = f"In the first rank in {len(self.first)} of {len(self.rows)} rows"
        counted = {"alone": self.alone, "the fastest there": self.fastest, "the smallest there": self.smallest}
        return (said, *_counted(counted), ".")

    @property
    def weaknesses(self) -> Sentence:
        """Where it collapses or fails, and where it takes most time."""
        counted = {"collapses": self.collapsed, "has no result": self.failed}
        parts, slowest = _counted(counted), _slowest(self.rows)
        said: Sentence = () if slowest is None else ("; ", "takes most time at ", slowest)
        return (*parts, *said, ".")[1:] if parts or said else ("No ceiling at which it collapses or fails.",)


def standings(shown_boards: Sequence[Board]) -> dict[str, Standing]:
    """By the name of each method that has a ceiling."""
    found: dict[str, Standing] = {}
    for board in shown_boards:
        for rows in board.ceilings.values():
            for row in rows:
                standing = found.setdefault(_method(row), Standing())
                standing.rows.append(row)
                standing.collapsed += [row] if row.holds and collapses(row) else []
                standing.failed += [] if row.holds else [row]
            _stand(found, board, tied(rows))
    return found


def _stand(found: dict[str, Standing], board: Board, first: Sequence[Row]) -> None:
    """Takes down what the rows of the first rank are."""
    time, memory = COSTS[board.track]
    for row in first:
        found[_method(row)].first.append(row)
    if len(first) == 1:
        found[_method(first[0])].alone.append(first[0])
    for row in cheapest(first, time):
        found[_method(row)].fastest.append(row)
    for row in cheapest(first, memory):
        found[_method(row)].smallest.append(row)


def _method(row: Row) -> str:
    return row.record.cell.method.name


def _counted(counted: dict[str, list[Row]]) -> Sentence:
    """`; alone in 3 (8x, 16x and 1 more)` for each that has some."""
    said = [("; ", f"{words} in {len(rows)} (", *_places(rows), ")") for words, rows in counted.items() if rows]
    return tuple(part for words in said for part in words)


def _places(rows: Sequence[Row], most: int = 2) -> Sentence:
    parts = [part for row in rows[:most] for part in (", ", _place(row))][1:]
    return (*parts, f" and {len(rows) - most} more") if len(rows) > most else tuple(parts)


def _place(row: Row, said: str = "") -> Link:
    cell = row.record.cell
    return link(row, f"{cell.workload.name} {row.ceiling} {cell.budget.bits}{said}")


def _slowest(rows: Sequence[Row]) -> Link | None:
    """The row that takes most time beside fp32; None where none compares."""
    timed = []
    for row in rows:
        name = COSTS[row.record.cell.settings.track][0]
        value = row.comparable(column(name))
        if isinstance(value, int | float):
            timed.append((value, row, name))
    if not timed:
        return None
    _, row, name = max(timed, key=lambda one: one[0])
    return _place(row, f": {cost_text(row, name)}")
