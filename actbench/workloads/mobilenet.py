"""Workload `mobilenet-v2`: torchvision's MobileNetV2 on a folder of images, of ImageNet or of others."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from torch import Tensor, nn
from typing_extensions import override

from actbench.errors import UserError
from actbench.workloads.base import CALIBRATION_IMAGES, ImageSet, Workload
from actbench.workloads.classes import class_names
from actbench.workloads.files import fill_model, read_weights
from actbench.workloads.folder import read_folder
from actbench.workloads.torchvision_import import torchvision

SIZE = 224
_RESIZED = 256

_TRAINING_IMAGES = 5000
"""As many are kept in memory for recovery and training, evenly spread."""


class MobileNetV2(Workload):
    """Classification with MobileNetV2 (Sandler et al. 2018, arXiv 1801.04381): 3×224×224, top-1 on the images in
    `val/`; 2.2 M parameters and a head for the folder's classes. Without --weights torchvision's are downloaded."""

    input_shape = (3, SIZE, SIZE)

    @override
    def model(self) -> nn.Module:
        models = torchvision("torchvision.models")
        if self.settings.weights is not None:
            return self._filled(self.settings.weights)
        if self._classes() != 1000:
            raise UserError(
                f"ImageNet's weights are for 1,000 classes, and {self._folder} has {self._classes()}: "
                "give --weights for these images"
            )
        try:
            model: nn.Module = models.mobilenet_v2(weights=models.MobileNet_V2_Weights.IMAGENET1K_V2)
        except (OSError, RuntimeError) as error:
            raise UserError(f"the weights could not be downloaded ({error}): give --weights FILE") from error
        return model

    @override
    def calibration_set(self) -> ImageSet:
        return _read(self._folder / "train", CALIBRATION_IMAGES)

    @override
    def training_set(self) -> ImageSet:
        return _read(self._folder / "train", _TRAINING_IMAGES)

    @override
    def evaluation_set(self) -> ImageSet:
        return _read(self._folder / "val", self.settings.limit)

    @property
    def _folder(self) -> Path:
        assert self.settings.data is not None
        return self.settings.data

    def _classes(self) -> int:
        return len(class_names(self._folder / "train"))

    def _filled(self, weights: Path) -> nn.Module:
        """The model with a checkpoint's weights, and a head for the folder's classes."""
        state, classes = read_weights(weights), self._classes()
        bias = state.get("classifier.1.bias")
        if isinstance(bias, Tensor) and bias.ndim == 1 and len(bias) != classes:
            raise UserError(f"checkpoint {weights} is for {len(bias)} classes, and {self._folder} has {classes}")
        model: nn.Module = torchvision("torchvision.models").mobilenet_v2(num_classes=classes)
        fill_model(model, state, weights)
        return model


@cache
def _read(folder: Path, count: int | None) -> ImageSet:
    return read_folder(folder, count, SIZE, _fit)


def _fit(image: Tensor) -> Tensor:
    """Scales the shorter side to 256, and crops the middle 224×224, as torchvision's evaluation does."""
    functional = torchvision("torchvision.transforms.functional")
    resized: Tensor = functional.resize(image, [_RESIZED], antialias=True)
    cropped: Tensor = functional.center_crop(resized, [SIZE, SIZE])
    return cropped
