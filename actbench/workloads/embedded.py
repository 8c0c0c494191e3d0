"""Workloads that need no files: their images are drawn, or come with a package, and their checkpoints with actbench."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor, nn
from typing_extensions import override

from actbench.workloads.base import CALIBRATION_IMAGES, ImageSet, Metric, Workload, WorkloadSettings
from actbench.workloads.files import load_weights
from actbench.workloads.identify import checkpoint
from actbench.workloads.own.description import IGNORED
from actbench.workloads.own.layout import Part
from actbench.workloads.own.metrics import metric_of_task
from actbench.workloads.own.objectives import divergence_of, loss_of
from actbench.workloads.own.tasks import Task


class Embedded(Workload):
    """A workload whose images and checkpoint are there already. `name`: its own, and the checkpoint's; `version`: of
    the images, as it is in a cell's key; `…_images`: how many there are of a part at most, the calibration images being
    the first of those for training."""

    name: str
    version: str
    calibration_images = CALIBRATION_IMAGES
    training_images: int
    evaluation_images: int

    @abstractmethod
    def network(self) -> nn.Module:
        """Builds the network, untrained."""

    @abstractmethod
    def images(self, part: Part, count: int) -> ImageSet:
        """Makes `count` images of a part: the first of them are the same however many follow."""

    @override
    def model(self) -> nn.Module:
        model = self.network()
        load_weights(model, self.settings.weights or checkpoint(self.name))
        return model

    @override
    def calibration_set(self) -> ImageSet:
        return self.images("train", self.calibration_images)

    @override
    def training_set(self) -> ImageSet:
        return self.images("train", self.training_images)

    @override
    def evaluation_set(self) -> ImageSet:
        return self.images("test", min(self.settings.limit or self.evaluation_images, self.evaluation_images))


class Dense(Embedded):
    """An embedded workload whose network gives a value for each pixel: the metrics and objectives are those that
    networks of the user's own have for the `task`."""

    task: Task

    def __init__(self, settings: WorkloadSettings) -> None:
        super().__init__(settings)
        self.metric: Metric = metric_of_task(self.task)

    @override
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return loss_of(self.task, IGNORED)(outputs, targets)

    @override
    def divergence(self, outputs: Tensor, reference: Tensor) -> Tensor:
        return divergence_of(self.task)(outputs, reference)
