"""Workload: a model, its checkpoint, data and the metric of quality. A workload's author writes one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import Tensor, nn
from torch.nn import functional

from actbench.workloads.images import Images, ImageSet

__all__ = ["CALIBRATION_IMAGES", "Accuracy", "ImageSet", "Images", "Metric", "Workload", "WorkloadSettings"]

CALIBRATION_IMAGES = 512
"""The most training images that a method may look at in the closed division (protocol)."""


@dataclass(frozen=True)
class WorkloadSettings:
    """Settings that the user gives a workload: the folder `data`, the file `weights`, and `limit`, to evaluate on so
    many images, spread evenly over all."""

    data: Path | None = None
    weights: Path | None = None
    limit: int | None = None


class Metric(Protocol):
    """Quality, computed as a function of a mean over images, so that it can be bootstrapped by image."""

    def per_image(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Computes the K statistics of each image → (batch, K) fp64, from the network's outputs and the targets,
        (batch, …) each."""

    def score(self, means: Tensor) -> Tensor:
        """Computes the metric (...), in the workload's unit, from means (..., K) of the statistics over some images."""


class Accuracy:
    """Top-1 accuracy in per cent: K = 1, whether the largest output is the label's."""

    def per_image(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Compares outputs (batch, classes) with targets (batch,) → (batch, 1): 1 where right, 0 where wrong."""
        return (outputs.argmax(1) == targets).double()[:, None]

    def score(self, means: Tensor) -> Tensor:
        """Computes the accuracy (...) in per cent from means (..., 1)."""
        return 100 * means[..., 0]


class Workload(ABC):
    """A model, data and a metric. Each is loaded once in a worker and shared by all of the workload's cells.

    `metric` is top-1 accuracy unless the workload has its own; `input_shape`: (C, H, W) of one image. `streams`:
    whether evaluation images may be too many to be in memory; they are kept in a file then.
    """

    metric: Metric = Accuracy()
    streams: bool = False
    input_shape: tuple[int, int, int]

    def __init__(self, settings: WorkloadSettings) -> None:
        self.settings = settings

    @abstractmethod
    def model(self) -> nn.Module:
        """Loads the model with its weights. Raises UserError where they cannot be loaded."""

    @abstractmethod
    def calibration_set(self) -> Images:
        """Loads at most CALIBRATION_IMAGES training images. Raises UserError where they cannot be read."""

    @abstractmethod
    def training_set(self) -> Images:
        """Loads the training images for recovery. Raises UserError where they cannot be read."""

    @abstractmethod
    def evaluation_set(self) -> Images:
        """Loads the images on which quality is measured, `limit` of them. Raises UserError where they cannot be
        read."""

    def transfer_sets(self) -> tuple[Images, Images]:
        """Loads training and evaluation images of the training track: another domain with the same classes. Unless the
        workload says otherwise, its images as photographic negatives."""
        return self.training_set().negative(), self.evaluation_set().negative()

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Computes what recovery minimises, from outputs and targets (batch, …) → a scalar: cross-entropy, unless the
        workload says otherwise."""
        return functional.cross_entropy(outputs, targets)

    def divergence(self, outputs: Tensor, reference: Tensor) -> Tensor:
        """Computes how far outputs are from the fp32 network's, for distillation → a scalar: the Kullback–Leibler
        divergence of classes (batch, classes), unless the workload says otherwise."""
        logarithms = outputs.log_softmax(1), reference.log_softmax(1)
        return functional.kl_div(*logarithms, reduction="batchmean", log_target=True)
