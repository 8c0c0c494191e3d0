"""Workload `cifar10-resnet20`: images from torchvision's download, or from a folder in ImageFolder layout."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from torch import nn
from typing_extensions import override

from actbench.errors import UserError
from actbench.workloads.base import CALIBRATION_IMAGES, ImageSet, Workload
from actbench.workloads.cache import cache_folder
from actbench.workloads.files import load_weights
from actbench.workloads.folder import DEVIATION, MEAN, read_folder
from actbench.workloads.torchvision_import import torchvision
from actbench.workloads.zoo.resnet_cifar import ResNetCifar


class Cifar10ResNet20(Workload):
    """Classification of photographs in ten classes, 3×32×32, top-1 on the 10,000 test images."""

    input_shape = (3, 32, 32)

    @override
    def model(self) -> nn.Module:
        model = ResNetCifar()
        if self.settings.weights is None:
            raise UserError("workload cifar10-resnet20 needs --weights FILE")
        load_weights(model, self.settings.weights)
        return model

    @override
    def calibration_set(self) -> ImageSet:
        return _load(self.settings.data, train=True, count=CALIBRATION_IMAGES)

    @override
    def training_set(self) -> ImageSet:
        return _load(self.settings.data, train=True, count=None)

    @override
    def evaluation_set(self) -> ImageSet:
        return _load(self.settings.data, train=False, count=self.settings.limit)


@cache
def _load(data: Path | None, *, train: bool, count: int | None) -> ImageSet:
    if data is None or (data / "cifar-10-batches-py").is_dir():
        return _downloaded(data or cache_folder() / "cifar10", train=train).spread(count)
    return read_folder(data / ("train" if train else "test"), count, 32)


def _downloaded(root: Path, *, train: bool) -> ImageSet:
    datasets = torchvision("torchvision.datasets")
    try:
        dataset = datasets.CIFAR10(str(root), train=train, download=True)
    except (OSError, RuntimeError) as error:
        raise UserError(f"CIFAR-10 could not be downloaded ({error}): give --data DIR") from error
    pixels = torch.from_numpy(dataset.data).permute(0, 3, 1, 2).contiguous()
    return ImageSet(pixels, torch.tensor(dataset.targets), MEAN, DEVIATION)
