"""How good a network's outputs are, how sure that is, and how far it is from the uncompressed network."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from actbench.records.parts.quality import Quality

Score = Callable[[Tensor], Tensor]
"""A metric from the mean over a set of images of their sufficient statistics: (..., K) → (...). Accuracy: K = 1, the
share that is correct. Mean IoU: K = classes², the confusion matrix."""

_TAILS = (0.025, 0.975)
_CHUNK = 1 << 22  # counts held at one time: 32 MiB


def paired_bootstrap(
    statistics: Tensor,
    reference: Tensor,
    score: Score,
    *,
    metric: str = "",
    unit: str = "",
    resamples: int = 2000,
    seed: int = 0,
) -> Quality:
    """The quality from the statistics (n, K) of each image under the network and under the reference.

    Its intervals hold 95 %: percentile bootstrap over the images (Efron and Tibshirani, An Introduction to the
    Bootstrap, 1993, chapter 13), for the difference paired: every resample draws the same images for both. The same
    seed gives the same intervals. `metric`, `unit`: what it is called. Raises ValueError where shapes differ, nothing
    is there to resample, or a statistic is not finite.
    """
    _check(statistics, reference, resamples)
    # Copies in fp64: laid out alike, so that equal statistics have equal sums to the last bit.
    ours, theirs = _fp64(statistics), _fp64(reference)
    images = len(ours)
    resampled = [
        (score(counts @ ours / images), score(counts @ theirs / images))
        for counts in _resample_counts(images, resamples, torch.Generator().manual_seed(seed))
    ]
    values, references = (torch.cat(scores) for scores in zip(*resampled, strict=True))
    value, reference_value = float(score(ours.mean(0))), float(score(theirs.mean(0)))
    quality = Quality(
        metric=metric,
        unit=unit,
        value=value,
        interval=_interval(values),
        reference=reference_value,
        difference=value - reference_value,
        difference_interval=_interval(values - references),
        images=images,
        per_image=ours[:, 0].tolist() if ours.shape[1] == 1 else None,
    )
    if quality.factor is not None:
        return quality  # a mean: values of images say all
    return quality.model_copy(update={"pseudo_values": _pseudo_values(ours, score)})


def _pseudo_values(statistics: Tensor, score: Score) -> list[float] | None:
    """What each of n images contributes to a score that is no mean: n · score of all − (n − 1) · score without it, the
    jackknife's pseudo-values (Tukey, Annals of Mathematical Statistics 29, 1958). Their mean is the score but for its
    bias, and they can be compared between networks, image by image. None where one is not finite."""
    images = len(statistics)
    if images < 2:
        return None
    without = (statistics.sum(0) - statistics) / (images - 1)
    values = images * score(statistics.mean(0)) - (images - 1) * score(without)
    return values.tolist() if bool(values.isfinite().all()) else None


def _check(statistics: Tensor, reference: Tensor, resamples: int) -> None:
    if statistics.dim() != 2 or statistics.shape != reference.shape:
        shapes = f"{tuple(statistics.shape)} and {tuple(reference.shape)}"
        raise ValueError(f"statistics of shapes {shapes}: both must be (images, K)")
    if statistics.numel() == 0 or resamples < 1:
        raise ValueError(f"nothing to resample: {len(statistics)} images, {resamples} resamples")
    if not (statistics.isfinite().all() and reference.isfinite().all()):
        raise ValueError("statistics must be finite")


def _fp64(statistics: Tensor) -> Tensor:
    return statistics.detach().to("cpu", torch.float64, copy=True, memory_format=torch.contiguous_format)


def _resample_counts(images: int, resamples: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yields how often each image is drawn, (rows, images) fp64, `resamples` rows in all of `images` draws. Times the
    statistics this gives their sums over each resample, and costs no copy of them."""
    rows = max(1, _CHUNK // images)
    for start in range(0, resamples, rows):
        drawn = torch.randint(images, (min(rows, resamples - start), images), generator=generator)
        counts = torch.zeros(drawn.shape, dtype=torch.float64)
        yield counts.scatter_add_(1, drawn, counts.new_ones(()).expand(drawn.shape))


def _interval(resampled: Tensor) -> tuple[float, float]:
    low, high = torch.quantile(resampled, resampled.new_tensor(_TAILS)).tolist()
    return low, high
