"""What the records of one cell say together, one for each seed: the mean, and an interval over seeds and images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy

from actbench.leaderboard.significance import NORMAL, Floats, Sample
from actbench.records.parts.part import Interval
from actbench.records.parts.quality import Quality

_RESAMPLES = 2000
_TAILS = (0.025, 0.975)


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean; of values that only a forged record has, the largest number that there is."""
    with numpy.errstate(all="ignore"):
        return float(numpy.nan_to_num(numpy.mean(values, dtype=numpy.float64)))


def quality_over_seeds(qualities: Sequence[Quality]) -> Sample:
    """The mean quality of at least one seed. Its 95 % interval is a seed's own, of several by bootstrap of seeds and
    images; where values of images are missing, by the sum of variances."""
    value, images = mean([quality.value for quality in qualities]), _images(qualities)
    if len(qualities) == 1:
        return Sample(value, qualities[0].interval, images)
    if images is None:
        return Sample(value, _by_variances([(quality.value, quality.interval) for quality in qualities]))
    low, high = two_level_bootstrap(images)
    bias = value - float(images.mean())
    return Sample(value, _finite(low + bias, high + bias), images)


def difference_over_seeds(qualities: Sequence[Quality]) -> Sample:
    """The mean difference to the reference of each seed; its interval is a seed's own, of several by the sum of the
    variances that the paired intervals and the seeds have."""
    value = mean([quality.difference for quality in qualities])
    if len(qualities) == 1:
        return Sample(value, qualities[0].difference_interval)
    return Sample(value, _by_variances([(one.difference, one.difference_interval) for one in qualities]))


def two_level_bootstrap(images: Floats) -> tuple[float, float]:
    """The 95 % percentile interval of the mean of (seeds, images), the same for the same values: each resample draws
    images, and of the seeds one fewer than there are, without which the variance of few seeds would be too small
    (McCarthy and Snowden, Vital and Health Statistics 2(95), 1985)."""
    random, (seeds, count) = numpy.random.default_rng(0), images.shape
    means = numpy.empty(_RESAMPLES)
    for resample in range(_RESAMPLES):
        of_seeds = images[:, random.integers(count, size=count)].mean(1)
        means[resample] = of_seeds[random.integers(seeds, size=seeds - 1)].mean()
    low, high = numpy.quantile(means, _TAILS)
    return float(low), float(high)


def _images(qualities: Sequence[Quality]) -> Floats | None:
    """(seeds, images) in the metric's unit, None where seeds have other images, or no values of them."""
    rows = [numpy.array(values) for quality in qualities if (values := quality.of_images)]
    if len(rows) < len(qualities) or len({len(row) for row in rows}) > 1:
        return None
    return numpy.stack(rows)


def _by_variances(seeds: Sequence[tuple[float, Interval]]) -> Interval:
    """Of the mean over seeds of values with intervals over the same images."""
    values = numpy.array([value for value, _ in seeds])
    errors = numpy.array([Sample(value, interval).error for value, interval in seeds])
    with numpy.errstate(all="ignore"):
        half = NORMAL * float(numpy.sqrt((errors**2).mean() + values.var(ddof=1) / len(values)))
    value = mean([value for value, _ in seeds])
    return _finite(value - half, value + half)


def _finite(low: float, high: float) -> Interval:
    return float(numpy.nan_to_num(low)), float(numpy.nan_to_num(high))
