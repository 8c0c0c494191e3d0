"""A metric of which less is better ranks, and draws, as its negative would."""

from typing import Any

import pytest

from actbench.leaderboard.axes import axes
from actbench.leaderboard.board import Board, boards
from actbench.leaderboard.columns import columns
from actbench.leaderboard.compare import compare
from actbench.records.record import Record
from tests.leaderboard.made_up import record

ERRORS = {
    ("quantize", "8x"): (3.0, 128),
    ("quantize", "4x"): (1.0, 250),
    ("wavelet", "8x"): (2.0, 120),
    ("wavelet", "4x"): (1.5, 240),
    ("same", "8x"): (2.02, 126),
    ("dropping", "8x"): (7.0, 110),
}


def measured(method: str, ceiling: str, value: float, bits: int, *, sign: int) -> Record:
    """With an error, or with its negative."""
    value *= sign
    reference, half = sign * 0.5, 0.1
    quality: dict[str, Any] = {
        "metric": "error",
        "unit": "",
        "value": value,
        "interval": (value - half, value + half),
        "reference": reference,
        "difference": value - reference,
        "difference_interval": (value - reference - half, value - reference + half),
        "images": 100,
        "per_image": None,
        "reference_point": sign * 9.0,
        "better": "more" if sign < 0 else "less",
    }
    return record(method, ceiling, 1.0, bits, parts={"quality": quality}, unit="")


def board(sign: int) -> Board:
    (one,) = boards([measured(*cell, *said, sign=sign) for cell, said in ERRORS.items()], "quantize")
    return one


def test_ranks_are_those_of_the_negative() -> None:
    of_error, of_negative = ([(row.name, row.ceiling, row.rank) for row in board(sign).rows] for sign in (1, -1))
    assert of_error == of_negative
    ranks = {(name, ceiling): rank.number for name, ceiling, rank in of_error if rank}
    assert ranks == {
        ("quantize", "4x"): 1,
        ("wavelet", "4x"): 2,
        ("wavelet", "8x"): 1,
        ("same", "8x"): 1,
        ("quantize", "8x"): 3,
        ("dropping", "8x"): 4,
    }


def test_fronts_hypervolumes_and_rates_are_those_of_the_negative() -> None:
    error, negative = board(1), board(-1)
    for axis in axes("inference"):
        front = error.front(axis)
        assert front == tuple((place, -quality) for place, quality in negative.front(axis))
    (ours,), (theirs,) = error.over_ceilings, negative.over_ceilings
    assert ours.hypervolumes == theirs.hypervolumes
    assert ours.bd_rates == theirs.bd_rates
    areas = {name: area for name, area in ours.hypervolumes.items() if isinstance(area, float)}
    assert areas["wavelet"] > areas["quantize"] > areas["dropping"] > 0


@pytest.mark.parametrize(("after", "verdict"), [(2.0, "better"), (4.0, "worse")])
def test_a_smaller_error_is_better(after: float, verdict: str) -> None:
    changes = compare(
        [measured("quantize", "8x", 3.0, 128, sign=1)], [measured("quantize", "8x", after, 128, sign=1)]
    ).changes
    assert {change.verdict for change in changes} == {verdict}


def test_small_numbers_are_shown_with_more_decimals() -> None:
    (shown,) = [column for column in columns("inference") if column.name == "quality"]
    (row,) = [row for row in board(1).rows if (row.name, row.ceiling) == ("same", "8x")]
    assert shown.text(row) == "2.0200 ± 0.1000"
    per_cent = record("quantize", "8x", 85.0, 128)
    (of_shares,) = boards([per_cent], "quantize")[0].rows
    assert shown.text(of_shares) == "85.00 ± 1.00"
