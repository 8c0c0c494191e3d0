"""The loss by which fits are chosen: that of the deployed form, on images held apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor, nn

from actbench.network.deploy import deploy
from actbench.network.splice import Spliced

OutputsLoss = Callable[[Tensor, Tensor], Tensor]
"""A network's outputs and targets, (n, …) each → a scalar, a mean over images."""


class Labelled(Protocol):
    """Images with targets."""

    def __len__(self) -> int: ...

    def select(self, index: slice, /) -> Labelled:
        """Selects some of them."""

    def batches(self, size: int, /) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields images (n, C, H, W) and targets (n, …) in order, `size` at a time."""


@torch.no_grad()
def mean_loss(module: nn.Module, images: Labelled, batch: int, loss: OutputsLoss, device: torch.device) -> float:
    """Computes the mean loss of a network over images, `batch` at a time, on a device."""
    module, total = module.to(device), 0.0
    for some, targets in images.batches(batch):
        total += len(some) * float(loss(module(some.to(device)), targets.to(device)))
    return total / len(images)


def deployed_loss(
    weight_bits: int, images: Labelled, batch: int, loss: OutputsLoss, device: torch.device
) -> Callable[[Spliced], float]:
    """Makes what computes the mean loss of a network's deployed form."""
    return lambda spliced: mean_loss(deploy(spliced, weight_bits).module, images, batch, loss, device)
