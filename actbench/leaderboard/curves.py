"""What a method's points say together: the front, the area that it dominates, and its distance to another curve."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

SomePoint = TypeVar("SomePoint", bound=tuple[Any, ...])

REFERENCE_BITS = 32.0
"""The bits from which hypervolumes count: fp32."""

FEWEST = 4
"""Points that a curve needs for a BD-rate, as in Bjøntegaard's recommendation."""


class Point(NamedTuple):
    """Bits stored for each value in fp32, of which less is better, and quality, of which more is. `interval`: 95 %, of
    the quality."""

    bits: float
    quality: float
    interval: tuple[float, float]

    @property
    def width(self) -> float:
        """Of the interval."""
        return self.interval[1] - self.interval[0]


def pareto_front(points: Iterable[SomePoint]) -> tuple[SomePoint, ...]:
    """Of points (cost, quality, …) those that no other is better than in one and no worse in the other, by rising
    cost."""
    front: list[SomePoint] = []
    for point in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or point[1] > front[-1][1]:
            front.append(point)
    return tuple(front)


def steps(front: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """The corners of a front: between two points the better quality costs what the point that has it costs."""
    corners: list[tuple[float, float]] = []
    for place, quality in front:
        corners += [(place, corners[-1][1])] if corners else []
        corners.append((place, quality))
    return tuple(corners)


def hypervolume(points: Iterable[Point], reference_quality: float) -> float:
    """The area that points dominate above the reference point, in octaves of bits × units of quality (Zitzler, Thiele,
    1998). A point beyond the reference adds nothing."""
    area, previous = 0.0, reference_quality
    for point in pareto_front(points):
        octaves = math.log2(REFERENCE_BITS / point.bits)
        quality = max(point.quality, previous)
        area += max(0.0, octaves) * (quality - previous)
        previous = quality
    return area


def bd_rate(anchor: Sequence[Point], test: Sequence[Point]) -> float | str:
    """The mean difference of bits at equal quality, in per cent of the anchor's bits, negative for fewer (Bjøntegaard,
    VCEG-M33, 2001, with piecewise cubic interpolation of log bits over quality). A reason in place of it where curves
    cannot be compared."""
    from scipy.interpolate import PchipInterpolator

    curves = [pareto_front(points) for points in (anchor, test)]
    if any(len(curve) < FEWEST for curve in curves):
        return f"fewer than {FEWEST} points on the front"
    low = max(curve[0].quality for curve in curves)
    high = min(curve[-1].quality for curve in curves)
    if not high - low > max(point.width for curve in curves for point in curve):
        return "no overlap in quality that is wider than the intervals" if low < high else "no overlap in quality"
    integrals = []
    for curve in curves:
        qualities, logs = [point.quality for point in curve], [math.log10(point.bits) for point in curve]
        integrals.append(float(PchipInterpolator(qualities, logs).integrate(low, high)))
    return 100 * (10 ** ((integrals[1] - integrals[0]) / (high - low)) - 1)
