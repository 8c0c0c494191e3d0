"""A plugin with a workload that is as small as one can be: what is left of a cell is what every cell costs."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from actbench import WorkloadInfo, hookimpl
from actbench.workloads.base import ImageSet, Workload


def identify(data: Path | None, weights: Path | None) -> dict[str, str]:
    return {"data": "made up"}


class Tiny(Workload):
    """Two convolutions with a map of 4×4×4 values between them, and eight images of random pixels."""

    input_shape = (1, 4, 4)

    def model(self) -> nn.Module:
        torch.manual_seed(0)
        pool = nn.AdaptiveAvgPool2d(1)
        return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1), pool, nn.Flatten())

    def calibration_set(self) -> ImageSet:
        return _images(1)

    def training_set(self) -> ImageSet:
        return _images(1)

    def evaluation_set(self) -> ImageSet:
        return _images(2).spread(self.settings.limit)


def _images(seed: int) -> ImageSet:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(256, (8, 1, 4, 4), generator=generator).byte()
    return ImageSet(pixels, torch.randint(2, (8,), generator=generator), (0.5,), (0.25,))


@hookimpl
def register_workloads(register: Callable[[WorkloadInfo], None]) -> None:
    here = "actbench_plugin_tiny_workload"
    register(WorkloadInfo("tiny", "as small as can be", f"{here}:Tiny", f"{here}:identify", metric="top-1"))
