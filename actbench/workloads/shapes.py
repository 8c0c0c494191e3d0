"""Workloads of rendered scenes: which solid is the largest, which one each pixel shows, and how far away it is."""

from __future__ import annotations

from functools import cache

from torch import Tensor, nn
from typing_extensions import override

from actbench.workloads.embedded import Dense, Embedded
from actbench.workloads.identify import RENDERED
from actbench.workloads.images import ImageSet
from actbench.workloads.own.layout import Part
from actbench.workloads.rendering import CLASSES, DEVIATION, EVALUATION_SEED, MEAN, TRAINING_SEED, Scenes, render
from actbench.workloads.zoo.encoder_decoder import EncoderDecoder
from actbench.workloads.zoo.residual import ResidualNetwork

_SEEDS: dict[Part, int] = {"train": TRAINING_SEED, "test": EVALUATION_SEED}
_LARGE = 128
_NEARER = 2.0
"""How much nearer the camera of `shapes-depth` is, in half widths of the image: the ground is as far away as the image
is wide. Without perspective no pixel changes, and a relative error weighs more."""


class Shapes(Embedded):
    """Classification of rendered scenes by the largest of ten solids in the picture: 3×64×64, top-1."""

    name = "shapes"
    version = RENDERED
    input_shape = (3, 64, 64)
    training_images = 8192
    evaluation_images = 2000

    @override
    def network(self) -> nn.Module:
        return ResidualNetwork()

    @override
    def images(self, part: Part, count: int) -> ImageSet:
        return _labelled(count, _SEEDS[part])


class _DenseShapes(Dense):
    """A value for each pixel of rendered scenes of 3×128×128."""

    version = RENDERED
    input_shape = (3, _LARGE, _LARGE)
    calibration_images = 128
    training_images = 2048
    evaluation_images = 128

    @override
    def images(self, part: Part, count: int) -> ImageSet:
        return _mapped(self.name, count, _SEEDS[part])


class ShapesSegmentation(_DenseShapes):
    """Segmentation of rendered scenes into ground and ten solids: mean IoU."""

    name = "shapes-segmentation"
    task = "segmentation"

    @override
    def network(self) -> nn.Module:
        return EncoderDecoder(1 + len(CLASSES))


class ShapesDepth(_DenseShapes):
    """Distance of each pixel of rendered scenes from the camera, in half widths of the image: absolute relative
    error."""

    name = "shapes-depth"
    task = "depth"

    @override
    def network(self) -> nn.Module:
        return EncoderDecoder(1)


@cache
def _labelled(count: int, seed: int) -> ImageSet:
    scenes = render(count, seed)
    return _image_set(scenes, scenes.labels)


@cache
def _mapped(name: str, count: int, seed: int) -> ImageSet:
    scenes = render(count, seed, _LARGE)
    targets = scenes.masks.byte() if name == ShapesSegmentation.name else scenes.depth - _NEARER
    return _image_set(scenes, targets)


def _image_set(scenes: Scenes, targets: Tensor) -> ImageSet:
    pixels = (scenes.images * 255).round().byte()
    return ImageSet(pixels, targets, (MEAN,) * 3, (DEVIATION,) * 3)
