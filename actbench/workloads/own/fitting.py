"""Images and labels of files, scaled to the size that a network wants."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from actbench.workloads.own.tasks import Interpolation
from actbench.workloads.torchvision_import import torchvision

SHARE = 224 / 256
"""Of the scaled image that is cropped in the middle, as in torchvision's evaluation of classifiers."""

Size = tuple[int, int, int]


def cropped(image: Tensor, size: Size | None, interpolation: Interpolation) -> Tensor:
    """Scales an image (C, H, W) so that the size is 224/256 of its shorter side, and crops the middle of it; one that
    has the size already, or a size of None, stays as it is."""
    if size is None or tuple(image.shape[1:]) == size[1:]:
        return image
    factor = max(wanted / has for wanted, has in zip(size[1:], image.shape[1:], strict=True)) / SHARE
    middle: Tensor = torchvision("torchvision.transforms.functional").center_crop(
        _resized(image, [round(factor * has) for has in image.shape[1:]], interpolation), list(size[1:])
    )
    return middle


def scaled(image: Tensor, size: Size | None, interpolation: Interpolation) -> Tensor:
    """Scales an image (C, H, W) to a size, in both directions alike or not."""
    if size is None or tuple(image.shape[1:]) == size[1:]:
        return image
    return _resized(image, list(size[1:]), interpolation)


def middle(image: Tensor, size: Size | None) -> Tensor:
    """Crops the middle of an image (C, H, W), whose pixels stay as they are; one that is smaller stays as it is."""
    if size is None or any(has < wanted for has, wanted in zip(image.shape[1:], size[1:], strict=True)):
        return image
    cropped: Tensor = torchvision("torchvision.transforms.functional").center_crop(image, list(size[1:]))
    return cropped


def scaled_labels(labels: Tensor, size: Size | None) -> Tensor:
    """Scales labels (H, W) to a size: each has the nearest one's value, as there is nothing between two classes."""
    if size is None or tuple(labels.shape) == size[1:]:
        return labels
    scaled = functional.interpolate(labels[None, None].double(), size[1:], mode="nearest-exact")
    return scaled[0, 0].to(labels.dtype)


def _resized(image: Tensor, size: list[int], interpolation: Interpolation) -> Tensor:
    transforms = torchvision("torchvision.transforms.functional")
    resized: Tensor = transforms.resize(image, size, transforms.InterpolationMode(interpolation), antialias=True)
    assert resized.dtype == torch.uint8
    return resized
