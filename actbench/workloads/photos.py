"""Workloads of photographs that are restored: from noise, and from half their size."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from functools import cache

from torch import Tensor, nn
from typing_extensions import override

from actbench.workloads.embedded import Dense
from actbench.workloads.identify import PHOTOGRAPHED
from actbench.workloads.images import ImageSet, negative
from actbench.workloads.own.layout import Part
from actbench.workloads.photographs import crops, halved, noisy, tiles
from actbench.workloads.zoo.restoration import RestorationNetwork

_SIZE = 64
_TRAINING_SEED, _EVALUATION_SEED = 1, 2


class _Photos(Dense):
    """Squares of photographs, 64×64 in grey, that are restored: PSNR."""

    version = PHOTOGRAPHED
    task = "restoration"
    training_images = 4096
    evaluation_images = 96

    @override
    def images(self, part: Part, count: int) -> ImageSet:
        clean = _clean(part, count)
        return ImageSet(self.damaged(clean, part), clean, (0.0,), (1.0,))

    @abstractmethod
    def damaged(self, clean: Tensor, part: Part) -> Tensor:
        """Makes what the network gets (n, 1, H, W) of clean squares (n, 1, 64, 64), 8 bits each."""

    @override
    def transfer_sets(self) -> tuple[ImageSet, ImageSet]:
        training, evaluation = self.training_set(), self.evaluation_set()
        return _negatives(training), _negatives(evaluation)


class PhotosDenoise(_Photos):
    """Removal of white noise with a standard deviation of 25 levels."""

    name = "photos-denoise"
    input_shape = (1, _SIZE, _SIZE)

    @override
    def network(self) -> nn.Module:
        return RestorationNetwork(scale=1, channels=24, blocks=4)

    @override
    def damaged(self, clean: Tensor, part: Part) -> Tensor:
        return noisy(clean, _TRAINING_SEED if part == "train" else _EVALUATION_SEED)


class PhotosUpscale(_Photos):
    """Enlargement to twice the height and width."""

    name = "photos-upscale"
    input_shape = (1, _SIZE // 2, _SIZE // 2)

    @override
    def network(self) -> nn.Module:
        return RestorationNetwork(scale=2, channels=32, blocks=4)

    @override
    def damaged(self, clean: Tensor, part: Part) -> Tensor:
        return halved(clean)


@cache
def _clean(part: Part, count: int) -> Tensor:
    return crops(count, _SIZE, _TRAINING_SEED) if part == "train" else tiles(_SIZE)[:count]


def _negatives(images: ImageSet) -> ImageSet:
    """Photographic negatives, of which negatives are wanted."""
    return replace(images.negative(), targets=negative(images.targets))
