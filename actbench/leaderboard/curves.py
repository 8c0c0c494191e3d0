"""What a method's points say together: the front, the area that it dominates, and its distance to another curve."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

REFERENCE_BITS, REFERENCE_LOSS = 32.0, 50.0
"""The reference point of hypervolumes: fp32, and a loss of 50 points of quality. Fixed, so that they compare."""

_FEWEST = 2


class Point(NamedTuple):
    """Bits stored for each original value, and quality lost to the fp32 network. Of both, less is better."""

    bits: float
    loss: float


def pareto_front(points: Iterable[Point]) -> tuple[Point, ...]:
    """The points that no other is better than in one and no worse in the other, by rising bits."""
    front: list[Point] = []
    for point in sorted(set(points)):
        if not front or point.loss < front[-1].loss:
            front.append(point)
    return tuple(front)


def hypervolume(points: Iterable[Point], reference_loss: float = REFERENCE_LOSS) -> float:
    """The area that points dominate below the reference point, in octaves of bits × points of quality (Zitzler, Thiele,
    1998). A point beyond the reference adds nothing; a negative loss counts as what it is."""
    area, previous = 0.0, reference_loss
    for point in pareto_front(points):
        octaves = math.log2(REFERENCE_BITS / point.bits) if point.bits > 0 else 0.0
        loss = min(point.loss, previous)
        area += max(0.0, octaves) * (previous - loss)
        previous = loss
    return area


def bd_rate(anchor: Sequence[Point], test: Sequence[Point]) -> float | str:
    """The mean difference of bits at equal quality, in per cent of the anchor's bits, negative for fewer (Bjøntegaard,
    VCEG-M33, 2001, with piecewise cubic interpolation of log bits over loss). A reason in place of it where curves
    cannot be compared."""
    from scipy.interpolate import PchipInterpolator

    curves = [_by_loss(points) for points in (anchor, test)]
    if any(len(curve) < _FEWEST for curve in curves):
        return f"fewer than {_FEWEST} points on the front"
    low = max(curve[0].loss for curve in curves)
    high = min(curve[-1].loss for curve in curves)
    if not low < high:
        return "no overlap in quality"
    integrals = []
    for curve in curves:
        losses, logs = [point.loss for point in curve], [math.log10(point.bits) for point in curve]
        integrals.append(float(PchipInterpolator(losses, logs).integrate(low, high)))
    return 100 * (10 ** ((integrals[1] - integrals[0]) / (high - low)) - 1)


def _by_loss(points: Sequence[Point]) -> list[Point]:
    """The front by rising loss: a curve on which more loss means fewer bits."""
    return list(reversed(pareto_front(points)))
