"""Fronts, areas and distances against the field's own packages."""

import bjontegaard
import moocore
import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actbench.leaderboard.curves import REFERENCE_BITS, REFERENCE_LOSS, Point, bd_rate, hypervolume, pareto_front

points = st.lists(
    st.builds(Point, st.floats(0.25, 31), st.floats(-2, 49)), min_size=1, max_size=12, unique_by=(lambda p: p[0],)
)


@given(points)
def test_the_front_is_moocores(of: list[Point]) -> None:
    kept = moocore.is_nondominated(numpy.array(of), keep_weakly=False)
    assert set(pareto_front(of)) == {point for point, keep in zip(of, kept, strict=True) if keep}


@given(points)
def test_the_area_is_moocores(of: list[Point]) -> None:
    data = numpy.array([[numpy.log2(point.bits), point.loss] for point in of])
    expected = moocore.hypervolume(data, ref=[numpy.log2(REFERENCE_BITS), REFERENCE_LOSS])
    assert hypervolume(of) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_points_beyond_the_reference_add_nothing() -> None:
    inside = [Point(4, 1.0)]
    assert hypervolume(inside) == 3 * 49
    assert hypervolume([*inside, Point(40, 0.5), Point(2, 51)]) == 3 * 49
    assert hypervolume([]) == 0


@given(
    st.lists(st.floats(0.1, 1), min_size=4, max_size=6), st.lists(st.floats(0.1, 1), min_size=4, max_size=6), st.data()
)
def test_the_distance_is_bjontegaards(first: list[float], second: list[float], data: st.DataObject) -> None:
    def curve(steps: list[float]) -> list[Point]:
        losses = numpy.cumsum(steps)
        bits = 16 * numpy.exp(
            -numpy.cumsum(data.draw(st.lists(st.floats(0.1, 1), min_size=len(steps), max_size=len(steps))))
        )
        return [Point(float(b), float(loss)) for b, loss in zip(bits, losses, strict=True)]

    anchor, test = curve(first), curve(second)
    own = bd_rate(anchor, test)
    if isinstance(own, str):
        assert max(anchor[0].loss, test[0].loss) >= min(anchor[-1].loss, test[-1].loss)
        return
    # There quality rises with the bits, and points come in the order of rising bits.
    arguments = [axis for of in (anchor, test) for axis in ([p.bits for p in of][::-1], [-p.loss for p in of][::-1])]
    expected = bjontegaard.bd_rate(*arguments, method="pchip", require_matching_points=False, min_overlap=0)
    assert own == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(
    ("test", "reason"),
    [
        ([Point(4, 1)], "fewer than 2 points"),
        ([Point(4, 1), Point(8, 2)], "fewer than 2 points"),
        ([Point(4, 11), Point(2, 12)], "no overlap"),
    ],
)
def test_why_there_is_none(test: list[Point], reason: str) -> None:
    assert reason in str(bd_rate([Point(4, 1), Point(2, 10)], test))
    assert "fewer" in str(bd_rate([], [Point(4, 1), Point(2, 10)]))


def test_half_the_bits_are_fifty_per_cent_less() -> None:
    anchor = [Point(8, 1), Point(4, 3), Point(2, 9)]
    assert bd_rate(anchor, [Point(p.bits / 2, p.loss) for p in anchor]) == pytest.approx(-50)
