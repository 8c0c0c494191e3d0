"""What networks are for, and the metrics of each task. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from actbench.errors import UserError
from actbench.info import Better

Task = Literal["classification", "segmentation", "depth", "restoration", "regression"]
TASKS: tuple[Task, ...] = get_args(Task)

Interpolation = Literal["bilinear", "bicubic"]
INTERPOLATIONS: tuple[Interpolation, ...] = get_args(Interpolation)
"""How images are scaled, always with a filter against aliasing."""


@dataclass(frozen=True)
class MetricWords:
    """What tables say of a metric: its name, its unit, and whether more of it is better."""

    name: str
    unit: str = ""
    better: Better = "more"


METRICS: Mapping[Task, tuple[MetricWords, ...]] = {
    "classification": (MetricWords("top-1", "%"), MetricWords("top-5", "%")),
    "segmentation": (MetricWords("mean-iou", "%"), MetricWords("pixel-accuracy", "%")),
    "depth": (MetricWords("abs-rel", better="less"), MetricWords("delta-1.25", "%")),
    "restoration": (MetricWords("psnr", "dB"), MetricWords("ssim")),
    "regression": (MetricWords("mae", better="less"), MetricWords("mse", better="less")),
}
"""The metrics of each task by their names, the first unless another is asked for."""


def metric_words(task: Task, name: str) -> MetricWords:
    """What is said of a task's metric; of its first for an empty name. Raises UserError for one that it has not."""
    for words in METRICS[task]:
        if name in ("", words.name):
            return words
    known = ", ".join(words.name for words in METRICS[task])
    raise UserError(f"--metric {name}: {task} has {known}; or write torchmetrics:NAME or FILE.py:NAME")
