"""The choice of a method by limits on loss and time."""

from typing import Any

from actbench.leaderboard.choice import Limits, choose, latency_of, loss_of
from actbench.records.record import Record
from tests.leaderboard.made_up import record
from tests.records.whole import inference


def timed(method: str, value: float | None, ratio: float, memory: int, **more: Any) -> Record:
    """A row with its time as a multiple of fp32's, and its memory."""
    measured = inference()["measurements"]
    latency, form = measured["latency"], {"median": 1.0, "quartiles": [1.0, 1.0], "samples": [1.0]}
    factors = {"median": ratio, "quartiles": [ratio, ratio], "samples": [ratio]}
    latency |= {"subject": factors, "baseline": form, "ratio": ratio, "ratio_quartiles": [ratio, ratio]}
    kept = {"peak_bytes": memory, "reference_peak_bytes": 1000, "timeline": None}
    parts = {"latency": latency, "memory": measured["memory"] | kept}
    return record(method, value=value, parts=parts, **more)


ROWS = [
    record("none", "1x", 90.0, 1024),
    timed("exact", 90.0, 3.0, 300),
    timed("fast", 89.5, 1.2, 400),
    timed("faster", 86.0, 1.1, 350),
    timed("worse", 89.0, 3.5, 500),
    record("failing", "8x", None, status="unsupported", reason="needs more"),
]


def names(records: Any) -> list[str]:
    return [one.cell.method.name for one in records]


def test_the_fastest_within_the_limits_is_taken() -> None:
    choice = choose(ROWS, Limits(1))
    assert choice.taken is not None
    assert names([choice.taken]) == ["fast"]
    assert {one.cell.method.name: why for one, why in choice.refused} == {
        "faster": "loses 4.00",
        "failing": "unsupported: needs more",
    }


def test_of_several_as_fast_that_which_loses_least() -> None:
    rows = [timed("one", 89.0, 2.0, 300), timed("other", 89.5, 2.0, 300)]
    choice = choose(rows, Limits(2))
    assert choice.taken is rows[1]


def test_a_limit_on_time() -> None:
    choice = choose(ROWS, Limits(0, 2))
    assert choice.taken is None
    assert {one.cell.method.name: why for one, why in choice.refused}["exact"] == "takes 3.00x the time of fp32"


def test_the_front_is_what_no_other_is_better_than() -> None:
    assert names(choose(ROWS, Limits(1)).front) == ["exact", "fast", "faster"]


def test_what_was_not_measured_is_never_within() -> None:
    untimed = record("untimed", value=90.0)
    assert (loss_of(untimed), latency_of(untimed)) == (loss_of(ROWS[1]), None)
    assert choose([untimed], Limits(9)).taken is untimed
    assert choose([untimed], Limits(9, 9)).taken is None
