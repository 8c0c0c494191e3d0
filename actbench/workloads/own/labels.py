"""Labels that are images: class numbers, and depths."""

from __future__ import annotations

from pathlib import Path

import numpy
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from actbench.errors import UserError
from actbench.workloads.own.description import Description


def read_label(path: str, description: Description) -> Tensor:
    """Reads the classes (H, W) of pixels as they are stored, or depths (H, W) fp32 over the description's scale, 0
    where none is known. Raises UserError where the file has another form, or no depth at all."""
    values = _array(path)
    if values.ndim != 2:
        raise UserError(f"label {path} has the shape {values.shape}: give one number for each pixel")
    if description.task == "segmentation":
        return _classes(path, values)
    depths = torch.from_numpy(values.astype(numpy.float32)) / description.scale
    depths = torch.where(torch.isfinite(depths), depths, 0.0)
    if not (depths > 0).any():
        raise UserError(f"label {path} has no depth above 0: remove it, and its image")
    return depths


def _classes(path: str, values: NDArray[numpy.generic]) -> Tensor:
    if values.dtype.kind not in "biu":
        raise UserError(f"label {path} holds {values.dtype}: give classes as whole numbers")
    return torch.from_numpy(values.astype(numpy.uint8 if values.dtype.itemsize == 1 else numpy.int32))


def _array(path: str) -> NDArray[numpy.generic]:
    try:
        if path.endswith(".npy"):
            array: NDArray[numpy.generic] = numpy.load(path, allow_pickle=False)
            return array
        with Path(path).open("rb") as file, Image.open(file, formats=("PNG", "TIFF", "BMP", "PPM", "JPEG")) as image:
            return numpy.array(image)
    except Exception as error:  # what decoders raise of damaged files has no common kind
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"cannot read label {path}: {reason}; restore or remove it") from error
