"""Recovery: the fine-tuning after codecs are inserted, the same for every method (the protocol's open division)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from actbench.errors import Unsupported
from actbench.workloads.base import Workload


@dataclass(frozen=True)
class RecoverySettings:
    """SGD with momentum and a cosine schedule to zero; the norm of the gradient is clipped."""

    learning_rate: float = 0.01
    momentum: float = 0.9
    batch: int = 64
    gradient_norm: float = 2.0


PROTOCOL_RECOVERY = RecoverySettings()
"""What every method gets."""


def recover(
    module: nn.Module,
    workload: Workload,
    steps: int,
    seed: int,
    device: torch.device,
    progress: Callable[[int], None] = lambda step: None,
    settings: RecoverySettings = PROTOCOL_RECOVERY,
) -> None:
    """Trains network and codecs together for `steps` steps, in place. Normalisations keep their statistics: the
    folded form, which is what is measured, is the form that is trained. Raises Unsupported where training diverges."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=settings.learning_rate, momentum=settings.momentum)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    batches = workload.training_set().shuffled(settings.batch, seed)

    def next_loss(step: int) -> Tensor:
        images, targets = next(batches)
        loss = workload.loss(module(images.to(device)), targets.to(device))
        if not torch.isfinite(loss):
            raise Unsupported(f"recovery diverged: the loss is {float(loss)} after {step} steps")
        return loss

    for step in range(steps):
        optimizer.zero_grad()
        next_loss(step).backward()
        nn.utils.clip_grad_norm_(parameters, settings.gradient_norm)
        optimizer.step()
        schedule.step()
        progress(step + 1)
    with torch.no_grad():
        next_loss(steps)
