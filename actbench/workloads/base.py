"""Workload: a model, its checkpoint, data and the metric of quality. A workload's author writes one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

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


@dataclass(frozen=True)
class ImageSet:
    """Images in memory as 8-bit pixels, and how a network wants them: `(pixels/255 − mean) / deviation`.

    `pixels` (n, C, H, W) uint8; `targets` (n, ...), (n,) int64 for a classifier; `mean` and `deviation` by channel.
    """

    pixels: Tensor
    targets: Tensor
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.pixels)

    def images(self, index: Tensor | slice) -> Tensor:
        """Normalises the images of some indices → (n, C, H, W) fp32."""
        mean, deviation = (torch.tensor(value).view(-1, 1, 1) for value in (self.mean, self.deviation))
        return (self.pixels[index].float() / 255 - mean) / deviation

    def __getitem__(self, index: slice) -> Tensor:
        return self.images(index)

    def select(self, index: Tensor | slice) -> ImageSet:
        """Selects the images of some indices."""
        return ImageSet(self.pixels[index], self.targets[index], self.mean, self.deviation)

    def spread(self, count: int | None) -> ImageSet:
        """Selects `count` of the images, evenly spread, so that sorted classes stay balanced; all for None."""
        if count is None or count >= len(self):
            return self
        return self.select(torch.arange(count) * len(self) // count)

    def permuted(self, seed: int, count: int | None = None) -> ImageSet:
        """Permutes the images as the seed decides, and keeps the first `count`; all for None. They stand for all,
        however a data set is sorted."""
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))
        return self.select(order[:count])

    def negative(self) -> ImageSet:
        """Makes photographic negatives: the same images with every pixel p as 255 − p."""
        return ImageSet(255 - self.pixels, self.targets, self.mean, self.deviation)

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields images (batch, C, H, W) fp32 and targets in order, `size` at a time, and what remains last."""
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            yield self.images(part), self.targets[part]

    def shuffled(self, size: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields images (size, C, H, W) fp32 and targets for ever, each epoch in an order that the seed decides."""
        generator = torch.Generator().manual_seed(seed)
        size = min(size, len(self))
        while True:
            order = torch.randperm(len(self), generator=generator)
            for index in order[: len(self) // size * size].split(size):
                yield self.images(index), self.targets[index]


class Workload(ABC):
    """A model, data and a metric. Each is loaded once in a worker and shared by all of the workload's cells.

    `metric` is top-1 accuracy unless the workload has its own; `input_shape`: (C, H, W) of one image.
    """

    metric: Metric = Accuracy()
    input_shape: tuple[int, int, int]

    def __init__(self, settings: WorkloadSettings) -> None:
        self.settings = settings

    @abstractmethod
    def model(self) -> nn.Module:
        """Loads the model with its weights. Raises UserError where they cannot be loaded."""

    @abstractmethod
    def calibration_set(self) -> ImageSet:
        """Loads at most CALIBRATION_IMAGES training images. Raises UserError where they cannot be read."""

    @abstractmethod
    def training_set(self) -> ImageSet:
        """Loads the training images for recovery. Raises UserError where they cannot be read."""

    @abstractmethod
    def evaluation_set(self) -> ImageSet:
        """Loads the images on which quality is measured, `limit` of them. Raises UserError where they cannot be
        read."""

    def transfer_sets(self) -> tuple[ImageSet, ImageSet]:
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
