"""Quality against what it costs: a footprint, time or memory, with the Pareto front in steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from actbench.leaderboard.axes import Axis, axes
from actbench.leaderboard.board import Board
from actbench.leaderboard.findings.ceilings import collapses
from actbench.leaderboard.findings.sentence import cost_text, quality_text
from actbench.leaderboard.pictures.drawing import Drawing, Group, Label, Line, Part, Point, beside_each_other, fitting
from actbench.leaderboard.pictures.marks import Mark, Marks
from actbench.leaderboard.pictures.scales import Scale, covering, tick_text
from actbench.leaderboard.row import Row

_LEFT, _RIGHT, _TOP, _FOOT, _LINE = 44.0, 118.0, 26.0, 40.0, 13.0

MOST_METHODS = 24
"""Methods of a picture, the best on top; the others are counted."""


def trades_of_board(board: Board, marks: Marks, panel_width: float = 440.0) -> list[Drawing]:
    """A panel for each axis on which rows lie apart."""
    drawn = (trade(board, axis, marks, panel_width) for axis in shown_axes(board))
    return [one for one in drawn if one is not None]


def trades_as_one(board: Board, marks: Marks, panel_width: float = 440.0, columns: int = 2) -> Drawing | None:
    """The panels beside each other; None where there are none."""
    panels = trades_of_board(board, marks, panel_width)
    title = f"{board.key.workload}, {board.key.title}: quality against its costs"
    return beside_each_other(panels, columns, title) if panels else None


def shown_axes(board: Board) -> list[Axis]:
    """The axes of the board's kinds of ceilings, time and memory."""
    kinds = {row.record.cell.budget.ceiling.kind for row in board.rows if not row.is_reference}
    return [axis for axis in axes(board.track) if not axis.ceiling or axis.ceiling in kinds]


def has_trades(board: Board) -> bool:
    """Whether there is a panel at all."""
    return any(len(_standing(board, axis)) > 1 for axis in shown_axes(board))


def _held(board: Board, axis: Axis) -> list[Row]:
    return [row for row in board.rows if row.holds and axis.place(row) is not None]


def _standing(board: Board, axis: Axis) -> list[Row]:
    return [row for row in _held(board, axis) if not collapses(row)]


def trade(board: Board, axis: Axis, marks: Marks, width: float = 440.0, height: float = 330.0) -> Drawing | None:
    """The rows on one axis, those of a method joined; None where fewer than two lie on it."""
    rows = _standing(board, axis)
    if len(rows) < 2:
        return None
    along = covering([_place(axis, row) for row in rows], _LEFT, width - _RIGHT, is_log=True)
    up = covering([end for row in rows for end in _interval(row)], height - _FOOT, _TOP)
    frame = _Frame(axis, along, up)
    said = Label((0, 14), frame.metric(rows[0], len(_held(board, axis)) - len(rows)), "soft", 10)
    parts = (*frame.axes(), said, *frame.front(board), *frame.curves(rows, marks))
    title = f"{board.key.workload}, {board.key.title}: quality against {axis.column.title}"
    return Drawing(width, height, parts, title)


def _place(axis: Axis, row: Row) -> float:
    place = axis.place(row)
    assert place is not None
    return place / _unit(axis)


def _unit(axis: Axis) -> float:
    """Bytes are drawn as KiB."""
    return 1024.0 if axis.column.name.endswith("_bytes") else 1.0


def _interval(row: Row) -> tuple[float, float]:
    assert row.quality is not None
    return row.quality.interval


@dataclass(frozen=True)
class _Frame:
    """Where rows are drawn: `along` an axis, and `up` by quality."""

    axis: Axis
    along: Scale
    up: Scale

    def metric(self, row: Row, fallen: int) -> str:
        quality = row.record.measurements.quality
        below = f"; {fallen} that collapsed are not drawn" if fallen else ""
        return f"{quality.metric} {quality.unit}{below}" if quality else ""

    def axes(self) -> Iterator[Part]:
        along, up, in_bytes = self.along, self.up, _unit(self.axis) > 1
        for tick in up.ticks():
            y = up.place(tick)
            yield Line(((along.first, y), (along.last, y)), "line")
            yield Label((along.first - 6, y + 4), tick_text(tick), "soft", 10, "end")
        for tick in along.ticks():
            x = along.place(tick)
            yield Line(((x, up.first), (x, up.first + 4)), "soft")
            yield Label((x, up.first + 15), tick_text(tick) + ("" if in_bytes else "x"), "soft", 10, "middle")
        title = f"{self.axis.column.title}{', KiB' if in_bytes else ''}, better {'→' if self.axis.rising else '←'}"
        yield Label(((along.first + along.last) / 2, up.first + 31), title, "soft", 10, "middle")

    def front(self, board: Board) -> Iterator[Part]:
        """The steps of what no row beats in both, as far as they are on the picture."""
        corners = [(place / _unit(self.axis), value) for place, value in board.front(self.axis) if value >= self.up.low]
        if len(corners) > 1:
            yield Line(tuple((self.along.place(place), self.up.place(value)) for place, value in corners), "front", 8)

    def curves(self, rows: Sequence[Row], marks: Marks) -> Iterator[Part]:
        """The points of each name, joined where ceilings are on the axis, and its label at the right, apart from the
        others."""
        named: dict[str, list[Row]] = {}
        for row in sorted(rows, key=lambda row: _place(self.axis, row)):
            named.setdefault(row.name, []).append(row)
        ordered = sorted(named.values(), key=lambda of: self.point(of[-1])[1])[:MOST_METHODS]
        places = apart([self.point(of[-1])[1] for of in ordered], _LINE, self.up.last + 4, self.up.first)
        for of, place in zip(ordered, places, strict=True):
            mark = marks.of(of[0].record.cell.method.name)
            parts = (*self._curve(of, mark), *self._label(of[-1], mark, place))
            yield Group(of[0].record.cell.method.name, "\n".join(map(self._tip, of)), parts)

    def point(self, row: Row) -> Point:
        assert row.quality is not None
        return self.along.place(_place(self.axis, row)), self.up.place(row.quality.value)

    def _curve(self, rows: Sequence[Row], mark: Mark) -> Iterator[Part]:
        points = tuple(map(self.point, rows))
        if len(points) > 1 and self.axis.ceiling:
            yield Line(points, mark.colour, 1)
        for row, (x, y) in zip(rows, points, strict=True):
            low, high = (self.up.place(one) for one in _interval(row))
            yield Line(((x, low), (x, high)), mark.colour, 0.8)
            yield mark.at(x, y)

    def _label(self, last: Row, mark: Mark, place: float) -> Iterator[Part]:
        left = self.along.last + 16
        if self.axis.ceiling:
            yield Line((self.point(last), (left - 7, place)), "line", 0.8)
        yield mark.at(left, place, 3.5)
        yield Label((left + 9, place + 4), fitting(last.name, _RIGHT - 27, 10), size=10)

    def _tip(self, row: Row) -> str:
        return f"{row.name} {row.ceiling}: {quality_text(row)}, {cost_text(row, self.axis.column.name)}"


def apart(places: Sequence[float], gap: float, first: float, last: float) -> list[float]:
    """Rising places as near to the given ones as a gap between them allows, from `first` on; where there is room, they
    end before `last`."""
    found: list[float] = []
    for place in places:
        found.append(max(place, found[-1] + gap if found else first))
    limit = max(last, first + gap * (len(found) - 1))
    for index in reversed(range(len(found))):
        found[index] = min(found[index], limit)
        limit = found[index] - gap
    return found
