"""Which rows differ in quality beyond chance: a test for each pair, corrected for the number of pairs.

Rows that have a value for each of the same images are tested in pairs, image by image:

- of one seed each, and values 0 or 1: the exact test of McNemar (Psychometrika 12, 1947), a sign test on the images
  that one of the two has right and the other wrong;
- else Student's paired t. Where a row has several seeds, an image has its mean over them, and the variance of the
  seeds' own means is added to that of the images (Welch, Biometrika 34, 1947, for the degrees of freedom of a sum).

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


@dataclass(frozen=True)
class Sample:
    """What a row says of its quality: the value, the ends of its 95 % interval, and the value of each image by seed
    (seeds, images), None where that is not known."""

    value: float
    interval: tuple[float, float]
    images: Floats | None = None

    @property
    def variance(self) -> float:
        """Of the value, by the interval."""
        return ((self.interval[1] - self.interval[0]) / (2 * NORMAL)) ** 2

    @cached_property
    def hits(self) -> Floats | None:
        """The images (images,) that are right, of a row with one seed; None where that is not what its values are."""
        if self.images is None or len(self.images) > 1 or not numpy.isin(self.images, (0, 1)).all():
            return None
        right: Floats = self.images[0]
        return right

    def is_paired_with(self, other: Sample) -> bool:
        """Whether both have values of the same images."""
        if self.images is None or other.images is None:
            return False
        return len(self.images[0]) == len(other.images[0])


def differing_pairs(samples: Sequence[Sample]) -> set[frozenset[int]]:
    """The pairs of samples, by their places, that differ at LEVEL after correction for the number of all pairs: so any
    of them may be looked at, whichever rows the data have put first."""
    pairs = list(combinations(range(len(samples)), 2))
    chances = holm([chance(samples[first], samples[second]) for first, second in pairs])
    return {frozenset(pair) for pair, corrected in zip(pairs, chances, strict=True) if corrected <= LEVEL}


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
        return _normal(first.value - second.value, first.variance + second.variance)
    if first.hits is not None and second.hits is not None:
        return _mcnemar(first.hits, second.hits)
    return _student(first, second)


def _normal(difference: float, variance: float) -> float:
    if difference == 0 or variance == 0:
        return float(difference == 0)
    return math.erfc(abs(difference) / math.sqrt(2 * variance))


def _mcnemar(first: Floats, second: Floats) -> float:
    """From 1 for right and 0 for wrong of each image (images,)."""
    from scipy.special import bdtr

    both, right = int(first @ second), (int(first.sum()), int(second.sum()))
    fewer, discordant = min(right) - both, sum(right) - 2 * both
    return min(1.0, 2 * float(bdtr(fewer, discordant, 0.5)))


def _student(first: Sample, second: Sample) -> float:
    from scipy.special import stdtr

    assert first.images is not None
    assert second.images is not None
    differences = first.images.mean(0) - second.images.mean(0)
    if len(differences) < 2:
        return 1.0
    means = [differences, *(of.mean(1) for of in (first.images, second.images) if len(of) > 1)]
    variances = [float(of.var(ddof=1)) / len(of) for of in means]
    difference, variance = float(differences.mean()), sum(variances)
    if difference == 0 or variance == 0:
        return float(difference == 0)
    freedom = variance**2 / sum(one**2 / (len(of) - 1) for one, of in zip(variances, means, strict=True))
    return 2 * float(stdtr(freedom, -abs(difference) / math.sqrt(variance)))
