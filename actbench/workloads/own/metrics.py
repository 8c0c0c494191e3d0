"""The metrics of each task, as statistics of single images and a score of their means; and those of the user's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from actbench.errors import UserError
from actbench.workloads.base import Accuracy, Metric
from actbench.workloads.own.code import Code, said_by
from actbench.workloads.own.description import IGNORED, Description
from actbench.workloads.own.objectives import as_map, as_shares, class_scores
from actbench.workloads.own.tasks import MetricWords, Task, metric_words
from actbench.workloads.torchvision_import import torchvision

_LARGEST_RATIO = 1.25
"""Of a depth and the true one, for a pixel to count as right (Eigen et al., NeurIPS 2014)."""

_LEAST_ERROR = 1e-10
"""Mean squared error of images that are equal: 100 dB."""

_TINY = 1e-6


class Mean:
    """A metric that is the mean of one number for each image."""

    def __init__(self, of_images: Callable[[Tensor, Tensor], Tensor]) -> None:
        self._of_images = of_images

    def per_image(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Computes each image's number from outputs and targets (batch, …) → (batch, 1)."""
        return self._of_images(outputs, targets).double().reshape(-1, 1)

    def score(self, means: Tensor) -> Tensor:
        """Gives the metric (...) from means (..., 1): they are it."""
        return means[..., 0]


class MeanIntersectionOverUnion:
    """The mean over classes of |prediction ∩ truth| / |prediction ∪ truth| in per cent, pixels of all images together
    and classes left out that no pixel has or is given. K = 2 · classes: intersections and unions of an image."""

    def __init__(self, ignore: int) -> None:
        self._ignore = ignore

    def per_image(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Counts pixels, from outputs (batch, classes, H, W) and labels (batch, H, W) → (batch, 2 · classes)."""
        scores = class_scores(outputs)
        rows = [
            _overlap(predicted, labels, scores.shape[1], self._ignore)
            for predicted, labels in zip(scores.argmax(1), targets.long(), strict=True)
        ]
        return torch.stack(rows).double()

    def score(self, means: Tensor) -> Tensor:
        """Computes the mean over classes (...) from means (..., 2 · classes)."""
        intersection, union = means.chunk(2, -1)
        there = union > 0
        shares = torch.where(there, intersection / union.clamp_min(_TINY * _TINY), 0.0)
        return 100 * shares.sum(-1) / there.sum(-1).clamp_min(1)


class PixelAccuracy:
    """The share of pixels whose class is right, in per cent, of all images together. K = 2: right ones, and all."""

    def __init__(self, ignore: int) -> None:
        self._ignore = ignore

    def per_image(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Counts pixels, from outputs (batch, classes, H, W) and labels (batch, H, W) → (batch, 2)."""
        labels = targets.long()
        counted = labels != self._ignore
        right = (class_scores(outputs).argmax(1) == labels) & counted
        return torch.stack([right.flatten(1).sum(1), counted.flatten(1).sum(1)], 1).double()

    def score(self, means: Tensor) -> Tensor:
        """Computes the share (...) from means (..., 2)."""
        return 100 * means[..., 0] / means[..., 1].clamp_min(_TINY)


def metric_of(description: Description) -> tuple[Metric, MetricWords]:
    """A description's metric, and what tables say of it. Raises UserError where the user's own is none."""
    if (code := description.metric_code) is not None:
        return _own(code)
    if (library := description.library_metric) is not None:
        return library.make(description.task, lambda: description.layout.classes, description.ignore)
    return metric_of_task(description.task, description.metric, description.ignore), description.words()


def metric_of_task(task: Task, name: str = "", ignore: int = IGNORED) -> Metric:
    """A task's metric by its name, its first for an empty one. Raises UserError for one that it has not."""
    metrics: dict[str, Callable[[], Metric]] = {
        "top-1": Accuracy,
        "top-5": lambda: Mean(_top_5),
        "mean-iou": lambda: MeanIntersectionOverUnion(ignore),
        "pixel-accuracy": lambda: PixelAccuracy(ignore),
        "abs-rel": lambda: Mean(_relative_error),
        "delta-1.25": lambda: Mean(_near),
        "psnr": lambda: Mean(_peak_signal_to_noise),
        "ssim": lambda: Mean(_structural_similarity),
        "mae": lambda: Mean(lambda outputs, targets: _differences(outputs, targets).abs().mean(1)),
        "mse": lambda: Mean(lambda outputs, targets: _differences(outputs, targets).square().mean(1)),
    }
    return metrics[metric_words(task, name).name]()


def _overlap(predicted: Tensor, labels: Tensor, classes: int, ignore: int) -> Tensor:
    """Intersections, then unions, of each class, (2 · classes,)."""
    counted = labels != ignore
    predicted, labels = predicted[counted], labels[counted]
    intersection = torch.bincount(labels[predicted == labels], minlength=classes)
    both = torch.bincount(labels, minlength=classes) + torch.bincount(predicted, minlength=classes)
    return torch.cat([intersection, both - intersection])


def _top_5(outputs: Tensor, targets: Tensor) -> Tensor:
    best = outputs.topk(min(5, outputs.shape[1]), 1).indices
    return 100 * (best == targets[:, None]).any(1).double()


def _relative_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """`mean |d̂ − d| / d` over the pixels with a depth d."""
    known = targets > 0
    errors = torch.where(known, (as_map(outputs) - targets).abs() / targets.clamp_min(_TINY), 0.0)
    return errors.flatten(1).double().sum(1) / known.flatten(1).sum(1)


def _near(outputs: Tensor, targets: Tensor) -> Tensor:
    """The share of pixels with `max(d̂ / d, d / d̂)` below 1.25, in per cent."""
    known, depths = targets > 0, as_map(outputs).clamp_min(_TINY)
    ratio = torch.maximum(depths / targets.clamp_min(_TINY), targets / depths)
    right = (ratio < _LARGEST_RATIO) & known
    return 100 * right.flatten(1).double().sum(1) / known.flatten(1).sum(1)


def _peak_signal_to_noise(outputs: Tensor, targets: Tensor) -> Tensor:
    """`−10 log10` of the mean squared error, of values from 0 to 1, in dB."""
    errors = (outputs.clamp(0, 1) - as_shares(targets)).double().square().flatten(1).mean(1)
    return -10 * errors.clamp_min(_LEAST_ERROR).log10()


def _structural_similarity(outputs: Tensor, targets: Tensor) -> Tensor:
    """Wang et al., IEEE Transactions on Image Processing 13, 2004: windows of 11×11 with a deviation of 1.5."""
    torchvision()  # which torchmetrics imports
    from torchmetrics.functional.image import structural_similarity_index_measure

    alike = structural_similarity_index_measure(
        outputs.clamp(0, 1), as_shares(targets), data_range=1.0, reduction="none"
    )
    assert isinstance(alike, Tensor)
    return alike.flatten()


def _differences(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs.flatten(1) if outputs.ndim > 1 else outputs[:, None]).double() - targets.flatten(1).double()


class _UserMetric:
    """The user's own metric: an object with `per_image` and `score`, or a function from outputs and targets to a number
    for each image, whose mean is the metric."""

    def __init__(self, code: Code, given: Any) -> None:
        self._code = code
        is_metric = hasattr(given, "per_image") and hasattr(given, "score")
        self._metric: Metric = given if is_metric else Mean(given)

    def per_image(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Computes what the user's code computes → (batch, K). Raises UserError where that raises, or has another
        form."""
        try:
            statistics = self._metric.per_image(outputs, targets)
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"metric {self._code}: {said_by(error)}") from error
        if not isinstance(statistics, Tensor) or statistics.ndim != 2 or len(statistics) != len(outputs):
            raise UserError(f"metric {self._code}: give numbers (batch,), or statistics (batch, K), of a batch")
        return statistics

    def score(self, means: Tensor) -> Tensor:
        """Computes what the user's code computes."""
        return self._metric.score(means)


def _own(code: Code) -> tuple[Metric, MetricWords]:
    given = code.load()
    try:
        given = given() if isinstance(given, type) else given
        words = MetricWords(
            str(getattr(given, "name", code.name)),
            str(getattr(given, "unit", "")),
            "more" if getattr(given, "higher_is_better", True) else "less",
        )
    except Exception as error:
        raise UserError(f"metric {code}: {said_by(error)}") from error
    if not callable(given) and not (hasattr(given, "per_image") and hasattr(given, "score")):
        raise UserError(f"metric {code}: give a function, or a class with per_image and score")
    return _UserMetric(code, given), words
