"""The workload of a description: the user's network on the user's images."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor, nn
from typing_extensions import override

from actbench.errors import UserError
from actbench.info import WorkloadInfo
from actbench.workloads.base import CALIBRATION_IMAGES, Images, Metric, Workload, WorkloadSettings
from actbench.workloads.folder import DEVIATION, MEAN
from actbench.workloads.images import Source, StreamedImages
from actbench.workloads.own.description import Description
from actbench.workloads.own.layout import Part
from actbench.workloads.own.metrics import metric_of
from actbench.workloads.own.models import load_model, of_one_output
from actbench.workloads.own.objectives import check_labels, check_outputs, divergence_of, loss_of
from actbench.workloads.own.sources import Negatives, source_of


class OwnWorkload(Workload):
    """A network and images of the user's own. Raises UserError where they do not go together."""

    streams = True

    def __init__(self, description: Description, limit: int | None = None) -> None:
        super().__init__(WorkloadSettings(limit=limit))
        self.description = description
        metric, self._words = metric_of(description)
        self.metric = _OfKnownClasses(metric, description)
        self._loss = loss_of(description.task, description.ignore)
        self._divergence = divergence_of(description.task)
        self.input_shape = _three(self._first[0][0])

    @property
    def info(self) -> WorkloadInfo:
        """The workload as it would be listed, with what the user's metric says of itself."""
        return self.description.info(self._words)

    @override
    def model(self) -> nn.Module:
        return self._model

    @override
    def calibration_set(self) -> Images:
        return self.training_set().spread(CALIBRATION_IMAGES)

    @override
    def training_set(self) -> Images:
        return self._images(self._training)

    @override
    def evaluation_set(self) -> Images:
        return self._alike(self._source("test")).spread(self.settings.limit)

    @override
    def transfer_sets(self) -> tuple[Images, Images]:
        if self.description.task != "restoration":
            return super().transfer_sets()
        training, evaluation = (Negatives(self._source(part)) for part in ("train", "test"))
        return self._images(training), self._alike(evaluation).spread(self.settings.limit)

    @override
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        check_labels(self.description, outputs, targets)
        return self._loss(outputs, targets)

    @override
    def divergence(self, outputs: Tensor, reference: Tensor) -> Tensor:
        return self._divergence(outputs, reference)

    def _source(self, part: Part) -> Source:
        return source_of(self.description, part)

    @cached_property
    def _training(self) -> Source:
        return self._source("train")

    @cached_property
    def _first(self) -> tuple[Tensor, Tensor]:
        """The first training image (1, C, H, W) and its target."""
        return self._training.read([0])

    def _alike(self, source: Source) -> Images:
        """The images of a source, which have the training images' size as far as the first one says."""
        shape = _three(source.read([0])[0][0])
        if shape != self.input_shape:
            sizes = ["×".join(map(str, size)) for size in (shape, self.input_shape)]
            raise UserError(f"test images are {sizes[0]}, training images {sizes[1]}: give the size, --input C,H,W")
        return self._images(source)

    def _images(self, source: Source) -> Images:
        return StreamedImages.of(source, *self._normalisation)

    @cached_property
    def _normalisation(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and deviation by channel: those that were said; for photographs ImageNet's, unless they are restored."""
        channels, said = self.input_shape[0], (self.description.mean, self.description.std)
        if said[0] is not None and said[1] is not None:
            if len(said[0]) != channels:
                raise UserError(f"--mean and --std have {len(said[0])} numbers, and images {channels} channels")
            return said[0], said[1]
        photographs = channels == len(MEAN) and self._first[0].dtype == torch.uint8
        if photographs and self.description.task != "restoration":
            return MEAN, DEVIATION
        return (0.0,) * channels, (1.0,) * channels

    @cached_property
    def _model(self) -> nn.Module:
        """The model, once for all that ask for it, when it has been seen to fit its images."""
        said = self.description
        model = load_model(said.model, said.weights, said.layout.classes)
        image, target = next(self.training_set().select(slice(0, 1)).batches(1))
        model, outputs = of_one_output(model, said.output, image)
        check_outputs(said, outputs, target)
        return model


class _OfKnownClasses:
    """A metric of labels that are looked at before."""

    def __init__(self, metric: Metric, description: Description) -> None:
        self._metric, self._description = metric, description
        self.score = metric.score

    def per_image(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Computes what the metric computes. Raises UserError where a label is none of the network's classes."""
        check_labels(self._description, outputs, targets)
        return self._metric.per_image(outputs, targets)


def _three(image: Tensor) -> tuple[int, int, int]:
    channels, height, width = image.shape
    return channels, height, width
