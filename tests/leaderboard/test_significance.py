"""Tests of pairs against scipy's own, and against data in which nothing differs."""

import math

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from actbench.leaderboard.rank import shared_ranks
from actbench.leaderboard.significance import LEVEL, Sample, chance, corrected_chances, holm

Array = NDArray[numpy.float64]

seeds = st.integers(0, 2**32)


def sample(images: Array, factor: float = 100.0) -> Sample:
    """A row of images (images,), or of several seeds (seeds, images), with an interval over the images."""
    rows = numpy.atleast_2d(images).astype(float)
    value, half = factor * rows.mean(), factor * 1.96 * rows.mean(0).std() / math.sqrt(rows.shape[1])
    return Sample(value, (value - half, value + half), factor * rows)


def unpaired(of: Sample) -> Sample:
    return Sample(of.value, of.interval)


@given(st.integers(1, 300), st.floats(0, 1), st.floats(0, 1), seeds)
def test_hits_are_compared_by_the_exact_sign_test(count: int, right: float, changed: float, seed: int) -> None:
    draws = numpy.random.default_rng(seed).random((3, count))
    first = draws[0] < right
    second = numpy.where(draws[1] < changed, draws[2] < 0.5, first)
    alone = int((first & ~second).sum()), int((second & ~first).sum())
    expected = stats.binomtest(alone[0], sum(alone)).pvalue if sum(alone) else 1.0
    assert chance(sample(first), sample(second)) == pytest.approx(expected, rel=1e-9)


@given(st.integers(3, 200), st.floats(-1, 1), seeds)
def test_values_of_images_are_compared_by_the_paired_t_test(count: int, shift: float, seed: int) -> None:
    noise = numpy.random.default_rng(seed).normal(size=(3, count))
    first, second = 30 + 5 * noise[0] + noise[1], 30 + 5 * noise[0] + noise[2] + shift
    expected = stats.ttest_rel(first, second).pvalue
    assert chance(sample(first, 1), sample(second, 1)) == pytest.approx(expected, rel=1e-6)


def test_large_samples_agree_with_a_paired_bootstrap() -> None:
    """The interval of the difference excludes zero at the level at which the test does."""
    noise = numpy.random.default_rng(3).normal(size=(2, 400))
    first, second = noise[0], 0.9 * noise[0] + 0.4 * noise[1] + 0.04
    found = chance(sample(first, 1), sample(second, 1))
    ends = stats.bootstrap(
        (first - second,), numpy.mean, confidence_level=1 - found, n_resamples=20_000, method="percentile", rng=1
    ).confidence_interval
    assert min(abs(ends.low), abs(ends.high)) < 0.05 * (ends.high - ends.low), found


def test_several_seeds_that_vary_alone_have_as_many_degrees_of_freedom_as_one_row() -> None:
    """Every image of a seed has the seed's value, so that nothing is left to the images."""
    values = numpy.array([[80.0, 82.0, 81.0], [85.0, 86.5, 84.0]])
    first, second = (sample(numpy.repeat(of[:, None], 50, 1), 1) for of in values)
    statistic = stats.ttest_ind(*values, equal_var=False).statistic
    assert chance(first, second) == pytest.approx(2 * stats.t.sf(abs(statistic), 2), rel=1e-6)


def test_parts_of_a_variance_have_their_own_quantiles() -> None:
    """At the level that is found, the difference is at the end of the interval."""
    random = numpy.random.default_rng(2)
    first, second = random.normal(size=(4, 60)) + random.normal(size=(4, 1)), random.normal(size=(1, 60)) + 1.5
    found = chance(sample(first, 1), sample(second, 1))
    images, seeds = stats.sem(first.mean(0) - second[0]), stats.sem(first.mean(1))
    half = math.hypot(images * stats.t.isf(found / 2, 59), seeds * stats.t.isf(found / 2, 3))
    assert half == pytest.approx(abs(first.mean() - second.mean()), rel=1e-6)
    assert 0.001 < found < 0.5


def test_one_seed_three_times_says_what_it_says_once() -> None:
    first, second = numpy.random.default_rng(0).random((2, 300))
    alone = chance(sample(first, 1), sample(second, 1))
    assert chance(sample(numpy.stack([first] * 3), 1), sample(second, 1)) == pytest.approx(alone, rel=1e-9)


def test_what_is_of_other_images_is_compared_by_intervals() -> None:
    draws = numpy.random.default_rng(0).random((2, 400))
    first, second = sample(draws[0] < 0.8), sample(draws[1][:350] < 0.6)
    expected = 2 * stats.norm.sf(abs(first.value - second.value) / math.hypot(first.error, second.error))
    assert chance(first, second) == pytest.approx(expected, rel=1e-9)
    assert chance(unpaired(first), sample(draws[1] < 0.6)) != chance(first, sample(draws[1] < 0.6))


@pytest.mark.parametrize("rows", [[[1.0, 1, 0]], [[0.5, 0.25, 1]], [[1.0, 0, 1], [0, 1, 1]], [[1.0]]])
def test_a_row_does_not_differ_from_itself(rows: list[list[float]]) -> None:
    own = sample(numpy.array(rows))
    assert chance(own, own) == 1
    assert chance(unpaired(own), unpaired(own)) == 1


def test_what_differs_by_the_same_on_every_image_differs() -> None:
    values = numpy.arange(10.0)
    assert chance(sample(values, 1), sample(values + 1, 1)) == 0
    assert chance(Sample(1, (1, 1)), Sample(2, (2, 2))) == 0
    assert chance(sample(values[:1], 1), sample(values[1:2], 1)) == 1, "one image says nothing"


@given(st.lists(st.floats(0, 1), max_size=12))
def test_corrected_chances_are_holms(chances: list[float]) -> None:
    """By the definition: the j-th smallest is the largest of (m − i + 1)·p(i) up to i = j, and 1 at most."""
    ordered = sorted(chances)
    expected = [min(1, max((len(ordered) - i) * ordered[i] for i in range(j + 1))) for j in range(len(ordered))]
    assert sorted(holm(chances)) == pytest.approx(expected)
    assert all(corrected >= own for corrected, own in zip(holm(chances), chances, strict=True))


def told_apart(draw: str, repetitions: int) -> float:
    """The share of boards on which equal rows have more than one rank."""
    random, apart = numpy.random.default_rng(7), 0
    for _ in range(repetitions):
        easy, noise = random.random(400), random.normal(size=(8, 3, 400))
        if draw == "hits":
            rows = [sample(easy + 0.2 * of[0] < 0.8) for of in noise]
        elif draw == "values":
            rows = [sample(20 * easy + of[0], 1) for of in noise]
        elif draw == "seeds":  # two of each row, with what is common to all images of a seed
            seeds = random.normal(size=(8, 2, 1))
            rows = [sample(easy + 0.05 * seed + 0.1 * of[:2] < 0.8) for of, seed in zip(noise, seeds, strict=True)]
        else:
            rows = [unpaired(sample(random.random(400) < 0.8)) for _ in noise]
        apart += max(rank.number for rank in shared_ranks(rows)) > 1
    return apart / repetitions


@pytest.mark.parametrize("draw", ["hits", "values", "seeds", "intervals"])
def test_equal_rows_are_rarely_told_apart(draw: str) -> None:
    """In 5 % of boards at most, and by chance in up to 7.5 % of 400: eight rows, of which the best was chosen last."""
    assert told_apart(draw, 400) <= LEVEL + 0.025


def test_what_intervals_cannot_tell_apart_pairs_can() -> None:
    """One is right wherever the other is, and on 1.5 % of images more: their own intervals overlap by far."""
    easy = numpy.random.default_rng(0).random(2000)
    first, second = sample(easy < 0.80), sample(easy < 0.785)
    assert first.interval[0] < second.value
    assert [rank.number for rank in shared_ranks([second, first])] == [2, 1]
    assert [rank.number for rank in shared_ranks([unpaired(second), unpaired(first)])] == [1, 1]


def test_a_rank_is_led_by_the_row_that_opened_it() -> None:
    """Sorted by quality, each differs from the leader, not from its neighbour; numbers count all rows before."""
    values = [90.0, 89.0, 88.0, 87.0, 86.0, 80.0]
    rows = [Sample(value, (value - 0.8, value + 0.8)) for value in values]
    chances = corrected_chances(rows)
    assert all(chances[frozenset(pair)] > LEVEL for pair in ((0, 1), (1, 2), (2, 3)))
    found = shared_ranks([rows[place] for place in (3, 0, 5, 1, 4, 2)])
    assert [rank.number for rank in found] == [3, 1, 6, 1, 5, 3]
    assert [rank.paired for rank in found] == [False, True, False, False, False, False]


def test_few_rows() -> None:
    assert shared_ranks([]) == []
    assert [rank.number for rank in shared_ranks([Sample(1, (0, 2))])] == [1]
