"""Metrics of torchmetrics by their names, as `torchmetrics:MulticlassF1Score:average=macro`. No torch until one is
made."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from actbench.errors import UserError
from actbench.fields import one_line
from actbench.workloads.own.tasks import MetricWords, Task

if TYPE_CHECKING:
    from torch import Tensor
    from torchmetrics import Metric as LibraryMetric

_NAME = re.compile(r"torchmetrics:([A-Za-z]\w*)(?::(.+))?", re.DOTALL)
_ARGUMENT = re.compile(r"([a-z_]+)=([\w.\-]+)")
_ROOMS = (".classification", ".segmentation", ".regression", ".image", "")
_AS_IF = 2.0**20
"""Images whose sums a metric is computed from: as many as can be, as all that is refused is too few."""

Argument = bool | int | float | str


@dataclass(frozen=True)
class LibraryName:
    """A class of torchmetrics, and arguments of it."""

    name: str
    arguments: Mapping[str, Argument] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> LibraryName | None:
        """Reads `torchmetrics:NAME` or `torchmetrics:NAME:ARGUMENT=VALUE,…`; None for what does not begin so. Raises
        UserError for arguments of another form."""
        match = _NAME.fullmatch(text)
        if match is None:
            return None
        pairs = [_ARGUMENT.fullmatch(part) for part in match[2].split(",")] if match[2] else []
        if not all(pairs):
            raise UserError(f"--metric {text}: write torchmetrics:NAME, or torchmetrics:NAME:ARGUMENT=VALUE,…")
        return cls(match[1], {pair[1]: _value(pair[2]) for pair in pairs if pair is not None})

    def make(self, task: Task, classes: Callable[[], int | None], ignore: int) -> tuple[SummedMetric, MetricWords]:
        """The metric as a function of statistics of images, and what tables say of it. How many classes there are, and
        the label that is left out, is the data's where it takes them and they are not given. Raises UserError where
        there is none of the name, where it refuses its arguments, and where it is no function of sums over images."""
        made, arguments = self._class(), dict(self.arguments)
        left = set(inspect.signature(made.__init__).parameters) - set(arguments)
        if "num_classes" in left and (count := classes()) is not None:
            arguments["num_classes"] = count
        if "ignore_index" in left and task == "segmentation":
            arguments["ignore_index"] = ignore
        try:
            metric = made(**arguments, compute_with_cache=False)
            summed = SummedMetric(metric, task)
        except UserError:
            raise
        except Exception as error:  # whatever the library says of its arguments
            raise UserError(f"--metric torchmetrics:{self.name}: {one_line(str(error))[:300]}") from error
        return summed, MetricWords(self.name, better="less" if metric.higher_is_better is False else "more")

    def _class(self) -> Any:
        from importlib import import_module

        from actbench.workloads.torchvision_import import torchvision

        torchvision()  # which torchmetrics imports
        for room in _ROOMS:
            found = getattr(import_module(f"torchmetrics{room}"), self.name, None)
            if inspect.isclass(found):
                return found
        raise UserError(f"--metric torchmetrics:{self.name}: torchmetrics has no such metric")


class SummedMetric:
    """A metric of the library as a function of means over images: its states, where all are sums over images.

    Statistics of an image are the states that it alone leaves, K numbers of them. The metric is what the library
    computes of states that are sums; it is asked as if of very many images. Raises UserError for states of another
    kind, of which no image has a part of its own."""

    def __init__(self, metric: LibraryMetric, task: Task) -> None:
        from torch import Tensor
        from torchmetrics.utilities import dim_zero_sum

        self._metric, self._task = metric, task
        self._names = list(metric.metric_state)
        reductions = (metric._reductions[name] for name in self._names)  # the library has no other way to say it
        tensors = (isinstance(getattr(metric, name), Tensor) for name in self._names)
        if not all(tensors) or any(reduction is not dim_zero_sum for reduction in reductions):
            raise UserError(
                f"--metric torchmetrics:{type(metric).__name__} is no function of sums over images: "
                "write FILE.py:NAME, a class with per_image and score"
            )

    def per_image(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Computes the states after each image alone → (batch, K)."""
        import torch

        return torch.stack([self._states(*one) for one in zip(outputs.split(1), targets.split(1), strict=True)])

    def score(self, means: Tensor) -> Tensor:
        """Computes the metric (...) from means (..., K) of the states."""
        import torch

        sizes = [getattr(self._metric, name).shape for name in self._names]
        scores = []
        for row in means.reshape(-1, means.shape[-1]):
            parts = (_AS_IF * row).split([size.numel() for size in sizes])
            for name, part, size in zip(self._names, parts, sizes, strict=True):
                setattr(self._metric, name, part.reshape(size))
            scores.append(self._metric.compute().double().reshape(()))
        return torch.stack(scores).reshape(means.shape[:-1])

    def _states(self, output: Tensor, target: Tensor) -> Tensor:
        import torch

        self._metric.reset()
        self._metric.update(*self._as_taken(output, target))
        return torch.cat([getattr(self._metric, name).double().flatten() for name in self._names])

    def _as_taken(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Labels as whole numbers, images from 0 to 1, and outputs of the targets' shape where they are numbers."""
        from actbench.workloads.own.objectives import as_shares, class_scores

        if self._task in ("classification", "segmentation"):
            return class_scores(output), target.long()
        target = as_shares(target) if self._task == "restoration" else target
        return output.reshape(target.shape), target


def _value(text: str) -> Argument:
    if text in ("true", "false"):
        return text == "true"
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text
