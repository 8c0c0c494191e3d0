"""What a picture is made of. Places are in points from the upper left corner; a colour is in ROLES, or `#rrggbb`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

Point = tuple[float, float]

ROLES: dict[str, tuple[str, str]] = {
    "ink": ("#1c2430", "#e6e9ee"),
    "soft": ("#5b6675", "#9aa5b4"),
    "line": ("#dfe3e8", "#313a46"),
    "front": ("#cfe3f5", "#24405a"),
    "accent": ("#0b62a8", "#74b6f0"),
    "paper": ("#ffffff", "#14181e"),
}
"""Colours that are others on dark paper: in light, and in dark."""

CHARACTER = 0.58
"""The width of a character over the size of its type, about."""


@dataclass(frozen=True)
class Line:
    """A line through points."""

    points: tuple[Point, ...]
    colour: str
    width: float = 1.0
    dashed: bool = False


@dataclass(frozen=True)
class Area:
    """What lies inside of a polygon."""

    points: tuple[Point, ...]
    colour: str


@dataclass(frozen=True)
class Label:
    """Text in one line, whose baseline begins, has its middle or ends at a point; `turned`: it reads upwards."""

    at: Point
    text: str
    colour: str = "ink"
    size: float = 11.0
    anchor: Literal["start", "middle", "end"] = "start"
    bold: bool = False
    turned: bool = False


@dataclass(frozen=True)
class Group:
    """Parts that belong to one method: pages hide them together, and show the `tip` over them."""

    method: str
    tip: str
    parts: tuple[Part, ...]


Part: TypeAlias = "Line | Area | Label | Group"


@dataclass(frozen=True)
class Drawing:
    """A picture of a size in points. `title`: what it shows, for those who cannot see it."""

    width: float
    height: float
    parts: tuple[Part, ...]
    title: str


def rectangle(left: float, top: float, width: float, height: float, colour: str) -> Area:
    """A rectangle with level sides."""
    right, bottom = left + width, top + height
    return Area(((left, top), (right, top), (right, bottom), (left, bottom)), colour)


def width_of(text: str, size: float = 11.0) -> float:
    """The width that a text takes, about."""
    return CHARACTER * size * len(text)


def fitting(text: str, width: float, size: float = 11.0) -> str:
    """As much of a text as fits into a width, without its middle: names of one method differ at their ends."""
    most = max(1, int(width / width_of("x", size) + 1e-6))
    behind = (most - 1) // 2
    return text if len(text) <= most else text[: most - 1 - behind] + "…" + text[len(text) - behind :]


def beside_each_other(drawings: Sequence[Drawing], columns: int, title: str, gap: float = 16.0) -> Drawing:
    """Several drawings as one, row by row, each column as wide as its widest."""
    rows = [drawings[first : first + columns] for first in range(0, len(drawings), columns)]
    widths = [max(row[place].width for row in rows if place < len(row)) for place in range(len(rows[0]) if rows else 0)]
    parts: list[Part] = []
    top = 0.0
    for row in rows:
        lefts = [sum(widths[:place]) + place * gap for place in range(len(row))]
        parts += [part for left, one in zip(lefts, row, strict=True) for part in moved(one.parts, left, top)]
        top += max(one.height for one in row) + gap
    return Drawing(sum(widths) + gap * max(0, len(widths) - 1), max(0.0, top - gap), tuple(parts), title)


def moved(parts: Sequence[Part], right: float, down: float) -> Iterator[Part]:
    """The parts in another place."""
    for part in parts:
        if isinstance(part, Group):
            yield replace(part, parts=tuple(moved(part.parts, right, down)))
        elif isinstance(part, Label):
            yield replace(part, at=(part.at[0] + right, part.at[1] + down))
        else:
            yield replace(part, points=tuple((x + right, y + down) for x, y in part.points))
