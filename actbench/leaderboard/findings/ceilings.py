"""What the rows of one ceiling say: which is best and what it costs, the cheapest of those as good, and what fails."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from actbench.leaderboard.board import COSTS, Board
from actbench.leaderboard.findings.sentence import (
    Group,
    Sentence,
    chance_text,
    cost_text,
    costs_text,
    difference_text,
    link,
    listed,
    quality_text,
)
from actbench.leaderboard.row import Row
from actbench.leaderboard.significance import procedure
from actbench.records.columns import column

COLLAPSE = 0.5
"""A row that keeps less than this share of what fp32 has above the reference point, or above nothing, collapses."""


def of_board(board: Board) -> list[Group]:
    """For each ceiling of a board what its rows say."""
    return [(ceiling, list(of_ceiling(board, ceiling))) for ceiling in board.ceilings]


def of_ceiling(board: Board, ceiling: str) -> Iterator[Sentence]:
    """The best, the cheapest of those that are not told apart from it, what collapses, and what has no result."""
    rows = board.ceilings[ceiling]
    if held := in_order(rows):
        yield _best(board, ceiling, held)
        yield from _cheapest(board, tied(rows))
    if fallen := [row for row in held if collapses(row)]:
        yield ("Collapsed: ", *listed(fallen, difference_text, 8), ".")
    if failed := [row for row in rows if not row.holds]:
        yield (f"Without a result at {ceiling}: ", *listed(failed, lambda row: row.status, 8), ".")


def in_order(rows: Sequence[Row]) -> list[Row]:
    """The rows that hold their ceiling, by quality, the best first, of equal ones in the order of ranks."""
    return sorted((row for row in rows if row.holds), key=_place)


def tied(rows: Sequence[Row]) -> list[Row]:
    """The rows of the first rank, the best first."""
    return [row for row in in_order(rows) if row.rank is not None and row.rank.number == 1]


def cheapest(rows: Sequence[Row], name: str) -> list[Row]:
    """The rows that are best in a column, in their order; none where none compares, or all are alike."""
    shown = column(name)
    sign = -1 if shown.better == "more" else 1
    costs = {id(row): sign * value for row in rows if isinstance(value := row.comparable(shown), int | float)}
    if len(set(costs.values())) < 2:
        return []
    least = min(costs.values())
    return [row for row in rows if costs.get(id(row)) == least]


def collapses(row: Row) -> bool:
    """Whether a row keeps less than half of what fp32 has above the reference point. Where less is better, and none is
    published, whether its error is more than twice that of fp32."""
    quality = row.record.measurements.quality
    if quality is None or row.quality is None:
        return False
    if quality.sign < 0 and quality.reference_point is None:
        return row.quality.value > quality.reference / COLLAPSE
    point = quality.reference_point or 0.0
    return quality.sign * (row.quality.value - point) < COLLAPSE * quality.sign * (quality.reference - point)


def _place(row: Row) -> tuple[float, float, str]:
    assert row.quality is not None
    return -row.sign * row.quality.value, row.quality.error, row.name


def _best(board: Board, ceiling: str, held: Sequence[Row]) -> Sentence:
    best, quality = held[0], held[0].record.measurements.quality
    metric = quality.metric if quality else "quality"
    costs = costs_text(best, board)
    said = f"{quality_text(best)}, {difference_text(best)}{f'; {costs}' if costs else ''}"
    return (link(best), f" has the best {metric} at {ceiling}: {said}.", *_others(held))


def _others(held: Sequence[Row]) -> Sentence:
    """How many rows are as good, and the first that is not."""
    worse = [row for row in held[1:] if row.rank is not None and row.rank.number > 1]
    others = len(held) - 1
    if not others:
        return ()
    alike = f"{others - len(worse)} of {others} others cannot be" if len(worse) < others else "All others are"
    return (f" {alike} told apart from it.", *(_next(held, worse[0]) if worse else ()))


def _next(held: Sequence[Row], worse: Row) -> Sentence:
    """The best row of the next rank, with the test by which it has another rank."""
    best, pairs = held[0], len(held) * (len(held) - 1) // 2
    assert best.quality is not None
    assert worse.quality is not None
    assert worse.rank is not None
    test = f"{chance_text(worse.rank.chance)}, {procedure(best.quality, worse.quality)}, Holm over {pairs} pairs"
    return (" The next rank begins with ", link(worse), f": {quality_text(worse)} ({test}).")


def _cheapest(board: Board, rows: Sequence[Row]) -> Iterator[Sentence]:
    """Of the rows of the first rank, the one that takes least time, and the one that takes least memory."""
    time, memory = COSTS[board.track]
    fastest, smallest = cheapest(rows, time), cheapest(rows, memory)
    if fastest and smallest and fastest[0] is smallest[0]:
        both = f" is the fastest and the smallest in memory{_like(smallest)} ({costs_text(fastest[0], board)}, "
        yield ("Of the first rank ", link(fastest[0]), f"{both}{quality_text(fastest[0])}).")
        return
    found = {"fastest": (time, fastest), "smallest in memory": (memory, smallest)}
    parts = [_cheap(word, name, best) for word, (name, best) in found.items() if best]
    if parts:
        yield ("Of the first rank ", *[word for part in parts for word in (", ", *part)][1:], ".")


def _cheap(word: str, name: str, best: Sequence[Row]) -> Sentence:
    said = f" is the {word}{_like(best)} ({cost_text(best[0], name)}, {quality_text(best[0])})"
    return (link(best[0]), said)


def _like(best: Sequence[Row]) -> str:
    return f", as {len(best) - 1} more are" if len(best) > 1 else ""
