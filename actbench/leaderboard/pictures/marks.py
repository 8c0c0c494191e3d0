"""One colour and one mark for each method, the same in every picture."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from actbench.leaderboard.pictures.drawing import Area, Point

COLOURS = ("#0072b2", "#d55e00", "#00875f", "#b0609a", "#9a7400", "#8f6fd1", "#7a7a7a", "#a3563f")
"""After Okabe and Ito (2008), whose light ones are darkened: all have a contrast of 3:1 with light and dark paper."""

SHAPES = ("circle", "square", "diamond", "up", "plus", "down", "cross", "star")


@dataclass(frozen=True)
class Mark:
    """How a method is drawn."""

    colour: str
    shape: str

    def at(self, x: float, y: float, size: float = 4.0) -> Area:
        """The mark around a place; `size`: about half of its width."""
        return Area(tuple((x + size * right, y + size * down) for right, down in _OUTLINES[self.shape]), self.colour)


class Marks:
    """The marks of some methods, by their names in alphabetical order: of 64 no two are alike."""

    def __init__(self, names: Iterable[str]) -> None:
        self._places = {name: place for place, name in enumerate(sorted(set(names)))}

    def of(self, method: str) -> Mark:
        """The mark of one of the methods."""
        place = self._places[method]
        turn, colour = divmod(place, len(COLOURS))
        return Mark(COLOURS[colour], SHAPES[(turn + colour) % len(SHAPES)])


def _regular(corners: int, first: float, *radii: float) -> tuple[Point, ...]:
    """Corners around the middle from an angle on, at radii in turn."""
    angles = [first + 2 * math.pi * corner / corners for corner in range(corners)]
    return tuple(
        (radii[place % len(radii)] * math.cos(angle), radii[place % len(radii)] * math.sin(angle))
        for place, angle in enumerate(angles)
    )


def _bars(turn: float) -> tuple[Point, ...]:
    """Two bars that cross."""
    arm, half = 1.25, 0.4
    corners = [(half, half), (arm, half), (arm, -half), (half, -half)]
    quarters = [(x, y) for x, y in corners]
    points: list[Point] = []
    for quarter in range(4):
        angle = turn - quarter * math.pi / 2
        points += [
            (x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)) for x, y in quarters
        ]
    return tuple(points)


_OUTLINES: dict[str, tuple[Point, ...]] = {
    "circle": _regular(14, 0.0, 1.05),
    "square": ((-0.95, -0.95), (0.95, -0.95), (0.95, 0.95), (-0.95, 0.95)),
    "diamond": ((0, -1.35), (1.35, 0), (0, 1.35), (-1.35, 0)),
    "up": ((0, -1.25), (1.2, 0.9), (-1.2, 0.9)),
    "plus": _bars(0.0),
    "down": ((0, 1.25), (1.2, -0.9), (-1.2, -0.9)),
    "cross": _bars(math.pi / 4),
    "star": _regular(10, -math.pi / 2, 1.5, 0.65),
}
