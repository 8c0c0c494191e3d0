"""Workload `shapes`: rendered objects and a small residual network; everything that it needs is in the package."""

from __future__ import annotations

from functools import cache

from torch import nn
from typing_extensions import override

from actbench.workloads.base import CALIBRATION_IMAGES, ImageSet, Workload
from actbench.workloads.files import load_weights
from actbench.workloads.identify import SHAPES_CHECKPOINT
from actbench.workloads.rendering import DEVIATION, EVALUATION_SEED, MEAN, TRAINING_SEED, render
from actbench.workloads.zoo.residual import ResidualNetwork

EVALUATION_IMAGES = 2000
TRAINING_IMAGES = 8192


class Shapes(Workload):
    """Classification of rendered scenes by the largest of ten solids in the picture: 3×64×64, top-1."""

    input_shape = (3, 64, 64)

    @override
    def model(self) -> nn.Module:
        model = ResidualNetwork()
        load_weights(model, self.settings.weights or SHAPES_CHECKPOINT)
        return model

    @override
    def calibration_set(self) -> ImageSet:
        return _rendered(CALIBRATION_IMAGES, TRAINING_SEED)

    @override
    def training_set(self) -> ImageSet:
        return _rendered(TRAINING_IMAGES, TRAINING_SEED)

    @override
    def evaluation_set(self) -> ImageSet:
        # The renderer's first n images do not depend on how many follow: no need to draw more than are used.
        return _rendered(min(self.settings.limit or EVALUATION_IMAGES, EVALUATION_IMAGES), EVALUATION_SEED)


@cache
def _rendered(count: int, seed: int) -> ImageSet:
    scenes = render(count, seed)
    pixels = (scenes.images * 255).round().byte()
    return ImageSet(pixels, scenes.labels, (MEAN,) * 3, (DEVIATION,) * 3)
