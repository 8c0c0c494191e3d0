"""Fronts, areas and distances against the field's own packages."""

from itertools import pairwise

import bjontegaard
import moocore
import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actbench.leaderboard.curves import REFERENCE_BITS, Point, bd_rate, hypervolume, pareto_front, steps

CHANCE = 10.0
"""Of a classifier of ten classes."""


def point(bits: float, quality: float, width: float = 0.0) -> Point:
    return Point(bits, quality, (quality - width / 2, quality + width / 2))


points = st.lists(
    st.builds(point, st.floats(0.25, 31), st.floats(11, 95)), min_size=1, max_size=12, unique_by=(lambda p: p[0],)
)


@given(points)
def test_the_front_is_moocores(of: list[Point]) -> None:
    kept = moocore.is_nondominated(numpy.array([[one.bits, -one.quality] for one in of]), keep_weakly=False)
    assert set(pareto_front(of)) == {one for one, keep in zip(of, kept, strict=True) if keep}


@given(points, st.lists(st.floats(0.1, 40), min_size=5, max_size=5))
def test_between_its_points_a_front_is_as_good_as_the_cheaper_one(of: list[Point], places: list[float]) -> None:
    """What its steps say at any place is the best quality of all points that cost no more."""
    corners = steps([(one.bits, one.quality) for one in pareto_front(of)])
    assert all(first[0] == second[0] or first[1] == second[1] for first, second in pairwise(corners))
    for place in places:
        reached = [quality for at, quality in corners if at <= place]
        assert max(reached, default=None) == max((one.quality for one in of if one.bits <= place), default=None)


@given(points)
def test_the_area_is_moocores(of: list[Point]) -> None:
    data = numpy.array([[numpy.log2(one.bits), -one.quality] for one in of])
    expected = moocore.hypervolume(data, ref=[numpy.log2(REFERENCE_BITS), -CHANCE])
    assert hypervolume(of, CHANCE) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_points_beyond_the_reference_add_nothing() -> None:
    inside = [point(4, 90)]
    assert hypervolume(inside, CHANCE) == 3 * 80
    assert hypervolume([*inside, point(40, 91), point(2, 9)], CHANCE) == 3 * 80
    assert hypervolume([], CHANCE) == 0


def curve(qualities: list[float], bits: list[float], width: float = 0.0) -> list[Point]:
    return [point(at, quality, width) for at, quality in zip(bits, qualities, strict=True)]


@given(
    st.lists(st.floats(0.1, 1), min_size=4, max_size=6), st.lists(st.floats(0.1, 1), min_size=4, max_size=6), st.data()
)
def test_the_distance_is_bjontegaards(first: list[float], second: list[float], data: st.DataObject) -> None:
    def drawn(rises: list[float]) -> list[Point]:
        growth = data.draw(st.lists(st.floats(0.1, 1), min_size=len(rises), max_size=len(rises)))
        return curve(numpy.cumsum(rises).tolist(), numpy.exp(numpy.cumsum(growth)).tolist())

    anchor, test = drawn(first), drawn(second)
    own = bd_rate(anchor, test)
    if isinstance(own, str):
        assert max(anchor[0].quality, test[0].quality) >= min(anchor[-1].quality, test[-1].quality)
        return
    arguments = [axis for of in (anchor, test) for axis in ([p.bits for p in of], [p.quality for p in of])]
    expected = bjontegaard.bd_rate(*arguments, method="pchip", require_matching_points=False, min_overlap=0)
    assert own == pytest.approx(expected, rel=1e-6, abs=1e-6)


ANCHOR = curve([60, 70, 80, 90], [1, 2, 4, 8])


@pytest.mark.parametrize(
    ("test", "reason"),
    [
        (ANCHOR[1:], "fewer than 4 points on the front"),
        ([*ANCHOR[1:], point(8, 70)], "fewer than 4 points on the front"),
        (curve([20, 30, 40, 50], [1, 2, 4, 8]), "no overlap in quality"),
        (curve([60, 70, 80, 90], [1, 2, 4, 8], width=31), "no overlap in quality that is wider than the intervals"),
        (curve([20, 40, 60, 65], [1, 2, 4, 8], width=5), "no overlap in quality that is wider than the intervals"),
    ],
)
def test_why_there_is_none(test: list[Point], reason: str) -> None:
    assert bd_rate(ANCHOR, test) == reason
    assert bd_rate(test, ANCHOR) == reason


def test_an_overlap_that_is_wider_than_the_intervals_is_enough() -> None:
    assert isinstance(bd_rate(ANCHOR, curve([20, 40, 60, 65], [1, 2, 4, 8], width=4.9)), float)


def test_half_the_bits_are_fifty_per_cent_less() -> None:
    assert bd_rate(ANCHOR, [point(p.bits / 2, p.quality) for p in ANCHOR]) == pytest.approx(-50)
