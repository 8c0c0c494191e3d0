"""Images of a folder in ImageFolder layout: one sub-folder a class."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from actbench.errors import UserError
from actbench.workloads.base import ImageSet
from actbench.workloads.classes import class_names, images_of
from actbench.workloads.torchvision_import import torchvision

MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
"""ImageNet's, in which the networks of torchvision were trained."""

_FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP", "GIF")
"""Of the content, whatever a file is called: of others, Pillow hands some to programs outside."""

_MOST_PIXELS = 1 << 26
"""Of one image: the largest of ImageNet's has 61 million."""


def read_folder(folder: Path, count: int | None, size: int, fit: Callable[[Tensor], Tensor] = lambda x: x) -> ImageSet:
    """Reads `count` images, evenly spread over the folder, or all for None; only these are read. Class indices follow
    the sorted names of the sub-folders. `fit` makes 3×size×size of an image (C, H, W). Raises UserError, with the
    file, where it does not, where an image is damaged, and where a class has none."""
    classes = [images_of(folder / name) for name in class_names(folder)]
    samples = [(path, target) for target, paths in enumerate(classes) for path in paths]
    total = len(samples)
    index = [i * total // count for i in range(count)] if count is not None and count < total else range(total)
    images = [_fitted(samples[i][0], size, fit) for i in index]
    targets = torch.tensor([samples[i][1] for i in index])
    return ImageSet(torch.stack(images), targets, MEAN, DEVIATION)


def _fitted(path: Path, size: int, fit: Callable[[Tensor], Tensor]) -> Tensor:
    functional = torchvision("torchvision.transforms.functional")
    image = fit(functional.pil_to_tensor(read_image(path)))
    if image.shape != (3, size, size):
        shape = "×".join(map(str, image.shape))
        raise UserError(f"image {path} is {shape}, not 3×{size}×{size}: scale the images, or give another folder")
    return image


def read_image(path: Path) -> Image.Image:
    """Reads an image in red, green and blue. Raises UserError where it is damaged, of another format or too large."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with path.open("rb") as file, Image.open(file, formats=_FORMATS) as image:
                pixels = image.width * image.height
                return image.convert("RGB") if pixels <= _MOST_PIXELS else _too_large(path, pixels)
    except UserError:
        raise
    except UnidentifiedImageError as error:
        raise UserError(f"cannot read image {path}: it is none of {', '.join(_FORMATS)}; remove it") from error
    except Exception as error:  # what decoders raise of damaged files has no common kind
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"cannot read image {path}: {reason}; restore or remove it") from error


def _too_large(path: Path, pixels: int) -> Image.Image:
    raise UserError(f"image {path} has {pixels:,} pixels, more than {_MOST_PIXELS:,}: scale it, or remove it")
