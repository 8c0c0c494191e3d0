"""Which rows differ in quality beyond chance: a test for each pair, corrected for the number of pairs.

Rows that have a value for each of the same images are tested in pairs, image by image:

- of one seed each, and values 0 or 1: the exact test of McNemar (Psychometrika 12, 1947), a sign test on the images
  that one of the two has right and the other wrong;
- else Student's paired t. Where a row has several seeds, an image has its mean over them, and the variance of the
  seeds' own means is added to that of the images, each times the square of its own t (Banerjee, Sankhya 22, 1960: for
  few seeds, and levels as low as many pairs need, Welch's degrees of freedom are too many).

Others are tested by the widths of their intervals, as if each had images of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy
from numpy.typing import NDArray

Floats = NDArray[numpy.float64]

LEVEL = 0.05
"""At one ceiling of a board, equal rows are told apart by chance in so many cases at most."""

NORMAL = 1.959963984540054
"""Half of a 95 % interval over the standard error, of a normal distribution."""

_LEAST, _MOST = 1e-12, 1e12
"""No p-value of a t test is told more exactly, and an error that is so many times a difference hides it."""


@dataclass(frozen=True)
class Sample:
    """What a row says of its quality: the value, the ends of its 95 % interval, and the value of each image by seed
    (seeds, images) in the same unit, None where that is not known."""

    value: float
    interval: tuple[float, float]
    images: Floats | None = None

    @property
    def error(self) -> float:
        """The standard error of the value, by the interval."""
        return (self.interval[1] - self.interval[0]) / (2 * NORMAL)

    @cached_property
    def hits(self) -> Floats | None:
        """1 where an image is right, 0 where it is wrong, (images,), of a row with one seed; None where values say
        something else than 0 or 1, or 0 or 100 %."""
        if self.images is None or len(self.images) > 1:
            return None
        are_hits = any(numpy.isin(self.images, (0, right)).all() for right in (1, 100))
        return (self.images[0] > 0).astype(float) if are_hits else None

    def is_paired_with(self, other: Sample) -> bool:
        """Whether both have values of the same images."""
        if self.images is None or other.images is None:
            return False
        return len(self.images[0]) == len(other.images[0])


def corrected_chances(samples: Sequence[Sample]) -> dict[frozenset[int], float]:
    """The p-value of each pair of samples, by their places, corrected for the number of all pairs: so any of them may
    be looked at, whichever rows the data have put first."""
    pairs = list(combinations(range(len(samples)), 2))
    chances = holm([chance(samples[first], samples[second]) for first, second in pairs])
    return dict(zip(map(frozenset, pairs), chances, strict=True))


def holm(chances: Sequence[float]) -> list[float]:
    """p-values, corrected so that with no difference anywhere the least of them is below a level in a share of cases
    that is the level at most (Holm, Scandinavian Journal of Statistics 6, 1979)."""
    order = sorted(range(len(chances)), key=lambda index: chances[index])
    corrected, largest = [0.0] * len(chances), 0.0
    for place, index in enumerate(order):
        largest = max(largest, min(1.0, (len(chances) - place) * chances[index]))
        corrected[index] = largest
    return corrected


def chance(first: Sample, second: Sample) -> float:
    """The two-sided p-value of two rows' difference."""
    if not first.is_paired_with(second):
        return _normal(first.value - second.value, math.hypot(first.error, second.error))
    if first.hits is not None and second.hits is not None:
        return _mcnemar(first.hits, second.hits)
    return _student(first, second)


def procedure(first: Sample, second: Sample) -> str:
    """What `chance` tests two rows by, in words."""
    if not first.is_paired_with(second):
        return "intervals alone"
    return "McNemar's exact test" if first.hits is not None and second.hits is not None else "paired t"


def paired_difference(first: Sample, second: Sample) -> tuple[float, float]:
    """First less second, and half of its 95 % interval: of the differences on the same images, each the mean over its
    seeds, with the variance of the seeds' own means; of rows without values of images as if they had others."""
    difference = first.value - second.value
    if first.images is None or second.images is None or not first.is_paired_with(second):
        return difference, NORMAL * math.hypot(first.error, second.error)
    errors = [error for error, _ in _errors(first.images, second.images)]
    return difference, NORMAL * math.hypot(*errors)


def _normal(difference: float, error: float) -> float:
    if difference == 0 or error == 0:
        return float(difference == 0)
    return math.erfc(abs(difference) / error / math.sqrt(2))


def _mcnemar(first: Floats, second: Floats) -> float:
    """From 1 for right and 0 for wrong of each image (images,)."""
    from scipy.special import bdtr

    both, right = int(first @ second), (int(first.sum()), int(second.sum()))
    fewer, discordant = min(right) - both, sum(right) - 2 * both
    return min(1.0, 2 * float(bdtr(fewer, discordant, 0.5)))


def _student(first: Sample, second: Sample) -> float:
    assert first.images is not None
    assert second.images is not None
    differences = first.images.mean(0) - second.images.mean(0)
    return _of_parts(float(differences.mean()), _errors(first.images, second.images)) if len(differences) > 1 else 1.0


def _errors(first: Floats, second: Floats) -> list[tuple[float, int]]:
    """What makes the mean difference of (seeds, images) uncertain: standard error and degrees of freedom of the
    images' differences, and of the seeds' means of a row that has several."""
    means = [first.mean(0) - second.mean(0), *(of.mean(1) for of in (first, second) if len(of) > 1)]
    return [(float(of.std(ddof=1)) / len(of) ** 0.5, len(of) - 1) for of in means if len(of) > 1 and of.std() > 0]


def _of_parts(difference: float, parts: Sequence[tuple[float, int]]) -> float:
    """The level at which a difference is at the end of its interval, from the parts (standard error, degrees of
    freedom) of its error; 1e-12 for less. 1 where numbers are too large to say."""
    from scipy.optimize import brentq
    from scipy.special import stdtrit

    if difference == 0 or not parts:
        return float(difference == 0)
    shares = [(error / abs(difference), freedom) for error, freedom in parts]
    if not all(share < _MOST for share, _ in shares):
        return 1.0

    def beyond(logarithm: float) -> float:
        tail = math.exp(logarithm) / 2
        return 1 - sum((share * float(stdtrit(freedom, tail))) ** 2 for share, freedom in shares)

    least = math.log(_LEAST)
    return _LEAST if beyond(least) > 0 else math.exp(brentq(beyond, least, 0.0))
