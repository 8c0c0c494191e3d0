"""Images of a folder in ImageFolder layout: one sub-folder a class."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from actbench.errors import UserError
from actbench.workloads.base import ImageSet
from actbench.workloads.torchvision_import import torchvision

MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
"""ImageNet's, in which the networks of torchvision were trained."""


def read_folder(folder: Path, count: int | None, size: int, fit: Callable[[Tensor], Tensor] = lambda x: x) -> ImageSet:
    """Reads `count` images, evenly spread over the folder, or all for None; only these are read. Class indices follow
    the sorted names of the sub-folders. `fit` makes 3×size×size of an image (C, H, W). Raises UserError where it does
    not, or where there are no images."""
    datasets = torchvision("torchvision.datasets")
    functional = torchvision("torchvision.transforms.functional")
    try:
        dataset = datasets.ImageFolder(str(folder))
    except FileNotFoundError as error:
        raise UserError(f"no images in {folder}: {str(error).splitlines()[0]}") from error
    total = len(dataset)
    index = [i * total // count for i in range(count)] if count is not None and count < total else range(total)
    images = [fit(functional.pil_to_tensor(dataset.loader(dataset.samples[i][0]))) for i in index]
    if {tuple(image.shape) for image in images} != {(3, size, size)}:
        raise UserError(f"images in {folder} are not all 3×{size}×{size}")
    targets = torch.tensor([dataset.targets[i] for i in index])
    return ImageSet(torch.stack(images), targets, MEAN, DEVIATION)
