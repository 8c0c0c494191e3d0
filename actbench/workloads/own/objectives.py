"""What each task's training minimises: losses against targets, and divergences from the fp32 network."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from actbench.errors import UserError
from actbench.workloads.own.description import Description
from actbench.workloads.own.tasks import Task

Objective = Callable[[Tensor, Tensor], Tensor]
"""Outputs, and targets or the fp32 network's outputs, → a scalar."""


_OF_CLASSES: tuple[Task, ...] = ("classification", "segmentation")
_FEWEST: dict[Task, int] = {"classification": 1, "segmentation": 2}
"""Classes that a network with one output tells apart."""


def loss_of(task: Task, ignore: int) -> Objective:
    """The loss of a task: cross-entropy of classes and of pixels, the mean absolute error of depths that are known, the
    mean squared error of restored images and of numbers."""
    losses: dict[Task, Objective] = {
        "classification": functional.cross_entropy,
        "segmentation": lambda outputs, targets: _of_pixels(outputs, targets, ignore),
        "depth": lambda outputs, targets: _of_depths(as_map(outputs), targets),
        "restoration": lambda outputs, targets: functional.mse_loss(outputs, as_shares(targets)),
        "regression": lambda outputs, targets: functional.mse_loss(_rows(outputs), _rows(targets)),
    }
    return losses[task]


def divergence_of(task: Task) -> Objective:
    """The distance from the fp32 network's outputs: the Kullback–Leibler divergence of classes, the mean over pixels
    where there are some; the mean squared difference of what is no class."""
    if task in ("classification", "segmentation"):
        return _of_classes
    return lambda outputs, reference: functional.mse_loss(outputs, reference)


def class_scores(outputs: Tensor) -> Tensor:
    """The outputs (batch, classes, …) of a network; one that has a single output z for two classes stands for 0 and z:
    softmax is the sigmoid then."""
    return torch.cat([torch.zeros_like(outputs), outputs], 1) if outputs.shape[1] == 1 else outputs


def as_map(outputs: Tensor) -> Tensor:
    """Outputs (batch, H, W) of a network that gives one channel, or none."""
    return outputs.squeeze(1) if outputs.ndim == 4 else outputs


def as_shares(targets: Tensor) -> Tensor:
    """Targets of 8 bits as values from 0 to 1."""
    return targets if targets.is_floating_point() else targets.float() / 255


def check_outputs(description: Description, outputs: Tensor, targets: Tensor) -> None:
    """Raises UserError where a network's outputs (batch, …) are not for its targets (batch, …)."""
    task, classes, model = description.task, description.layout.classes, description.canonical()["model"]
    shape, wanted = tuple(outputs.shape[1:]), tuple(targets.shape[1:])
    fits = {
        "classification": len(shape) == 1,
        "segmentation": len(shape) == 3 and shape[1:] == wanted,
        "depth": shape in (wanted, (1, *wanted)),
        "restoration": shape == wanted,
        "regression": (shape or (1,)) == wanted,
    }
    if not fits[task]:
        sizes = ["×".join(map(str, size)) or "one number" for size in (shape, wanted)]
        raise UserError(f"--model {model} gives {sizes[0]} for labels of {sizes[1]}, which is no {task}")
    if task in _OF_CLASSES and classes is not None and classes > max(shape[0], _FEWEST[task]):
        raise UserError(f"--model {model} has outputs for {shape[0]} classes, and the data has {classes}")


def check_labels(description: Description, outputs: Tensor, targets: Tensor) -> None:
    """Raises UserError where a label is none of the network's classes; of other tasks there are no classes."""
    task, labels = description.task, targets.long()
    if task not in _OF_CLASSES:
        return
    classes = max(outputs.shape[1], _FEWEST[task])
    wrong = labels[(labels < 0) | (labels >= classes)]
    wrong = wrong[wrong != description.ignore] if task == "segmentation" else wrong
    if wrong.numel():
        hint = f"; --ignore {int(wrong[0])} leaves its pixels out" if task == "segmentation" else ""
        raise UserError(f"a label is {int(wrong[0])}, and the network's {classes} classes are 0 to {classes - 1}{hint}")


def _of_pixels(outputs: Tensor, targets: Tensor, ignore: int) -> Tensor:
    labels = targets.long()
    total = functional.cross_entropy(class_scores(outputs), labels, ignore_index=ignore, reduction="sum")
    return total / (labels != ignore).sum().clamp_min(1)


def _of_depths(depths: Tensor, targets: Tensor) -> Tensor:
    known = targets > 0
    return ((depths - targets).abs() * known).sum() / known.sum().clamp_min(1)


def _of_classes(outputs: Tensor, reference: Tensor) -> Tensor:
    ours, theirs = (class_scores(scores).log_softmax(1) for scores in (outputs, reference))
    divergence = functional.kl_div(ours, theirs, reduction="none", log_target=True)
    return divergence.sum(1).mean()


def _rows(values: Tensor) -> Tensor:
    return values.flatten(1) if values.ndim > 1 else values[:, None]
