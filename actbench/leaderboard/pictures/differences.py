"""What each method loses at a ceiling: paired differences to fp32 with their intervals, the best on top."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from actbench.leaderboard.board import Board
from actbench.leaderboard.findings.ceilings import collapses, in_order
from actbench.leaderboard.findings.sentence import cost_text, difference_text, quality_text
from actbench.leaderboard.pictures.drawing import (
    Drawing,
    Group,
    Label,
    Line,
    Part,
    beside_each_other,
    fitting,
    width_of,
)
from actbench.leaderboard.pictures.marks import Marks
from actbench.leaderboard.pictures.scales import Scale, covering
from actbench.leaderboard.row import Row

MOST_ROWS = 24
"""Rows of a panel; the others are counted."""

MOST_PANELS = 6
"""Ceilings beside each other, from the largest allowance on."""

_LINE, _TOP, _FOOT, _VALUES = 18.0, 26.0, 34.0, 84.0

_BOLD = 12.5
"""The size at which plain type is as wide as bold type of 11, in which the first rank stands."""

_NAMES = (118.0, 230.0)
"""The least and the most width that names take; a panel is as much wider as they need more than the least."""


def differences_of_board(board: Board, marks: Marks, panel_width: float = 330.0) -> Drawing:
    """Small multiples: a panel for each ceiling, all on one scale."""
    panels = difference_panels(board, marks, panel_width)
    title = f"{board.key.workload}, {board.key.title}: what each method loses at each ceiling"
    return beside_each_other(panels, 2 if len(panels) in (2, 4) else 3, title)


def difference_panels(board: Board, marks: Marks, width: float = 330.0) -> list[Drawing]:
    """A panel for each of the first ceilings, all on one scale."""
    held = {ceiling: in_order(rows) for ceiling, rows in board.ceilings.items()}
    shown = {ceiling: rows for ceiling, rows in list(held.items())[:MOST_PANELS] if rows}
    drawn = [row for rows in shown.values() for row in rows[:MOST_ROWS]]
    limits, names = _limits(drawn), _names_width(drawn)
    return [_panel(ceiling, rows, marks, width, limits, names) for ceiling, rows in shown.items()]


def differences_at(board: Board, ceiling: str, marks: Marks, width: float = 460.0) -> Drawing | None:
    """One ceiling, on a scale of its own; None where no row holds it."""
    rows = in_order(board.ceilings[ceiling])
    drawn = rows[:MOST_ROWS]
    return _panel(ceiling, rows, marks, width, _limits(drawn), _names_width(drawn)) if rows else None


def _limits(rows: Sequence[Row]) -> tuple[float, float]:
    """The ends of all intervals and zero, but of rows that collapse: these stand at the end of the scale."""
    standing = [row for row in rows if not collapses(row)] or rows
    ends = [end for row in standing if row.difference for end in row.difference.interval]
    return min([0.0, *ends]), max([0.0, *ends])


def _names_width(rows: Sequence[Row]) -> float:
    least, most = _NAMES
    return min(most, max([least, *(width_of(row.name, _BOLD) + 10 for row in rows)]))


def _panel(
    ceiling: str, rows: Sequence[Row], marks: Marks, width: float, limits: tuple[float, float], names: float
) -> Drawing:
    width += names - _NAMES[0]
    shown, scale = rows[:MOST_ROWS], covering(limits, names, width - _VALUES)
    bottom = _TOP + _LINE * len(shown)
    parts: list[Part] = [Label((0, 14), ceiling, size=13, bold=True), *_axis(scale, bottom, shown[0])]
    parts += [_row(row, _TOP + _LINE * (place + 0.5), scale, marks, names, width) for place, row in enumerate(shown)]
    if more := len(rows) - len(shown):
        parts.append(Label((0, bottom + 28), f"and {more} more, in the table", "soft"))
    return Drawing(width, bottom + _FOOT, tuple(parts), f"What each method loses at {ceiling}")


def _axis(scale: Scale, bottom: float, row: Row) -> Iterator[Part]:
    quality = row.record.measurements.quality
    for tick in scale.ticks(4):
        x, colour = scale.place(tick), "soft" if tick == 0 else "line"
        yield Line(((x, _TOP), (x, bottom)), colour)
        yield Label((x, bottom + 13), "fp32" if tick == 0 else f"{tick:+g}".replace("-", "−"), "soft", 10, "middle")
    metric = f"{quality.metric} {quality.unit}".strip() if quality else "quality"
    yield Label(((scale.first + scale.last) / 2, bottom + 27), f"Δ {metric}", "soft", 10, "middle")


def _row(row: Row, y: float, scale: Scale, marks: Marks, names: float, width: float) -> Group:
    method, difference = row.record.cell.method.name, row.difference
    assert difference is not None
    mark, (low, high) = marks.of(method), map(scale.place, difference.interval)
    is_first = row.rank is not None and row.rank.number == 1
    parts = (
        Label((names - 10, y + 4), fitting(row.name, names - 10, _BOLD), anchor="end", bold=is_first),
        Line(((low, y), (max(high, low + 0.5), y)), mark.colour, 2),
        mark.at(scale.place(difference.value), y),
        *_beyond(difference.value, y, scale),
        Label((width, y + 4), _value(row), anchor="end", size=10),
    )
    return Group(method, _tip(row), parts)


def _beyond(value: float, y: float, scale: Scale) -> list[Part]:
    """An arrow where a value is off the scale."""
    if scale.low <= value <= scale.high:
        return []
    place, sign, arrow = (scale.first, 1, "◂") if value < scale.low else (scale.last, -1, "▸")
    return [Label((place + sign * 13, y + 4), arrow, "soft", 10, "middle")]


def _value(row: Row) -> str:
    return difference_text(row).removeprefix("Δ ").replace("-", "−")


def _tip(row: Row) -> str:
    name = "latency_ratio" if row.record.cell.settings.track == "inference" else "step_ratio"
    return f"{row.name} {row.ceiling}: {quality_text(row)}, {difference_text(row)}, {cost_text(row, name)}"
