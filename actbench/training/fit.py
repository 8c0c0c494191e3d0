"""The fine-tuning of the training track: the same optimiser, steps and images for every method."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from actbench.errors import Unsupported
from actbench.recipe import PROTOCOL_RECIPE, Recipe
from actbench.workloads.base import ImageSet

Loss = Callable[[Tensor, Tensor], Tensor]


def fit(
    module: nn.Module,
    images: ImageSet,
    loss: Loss,
    steps: int,
    seed: int,
    device: torch.device,
    progress: Callable[[int], None] = lambda step: None,
    recipe: Recipe = PROTOCOL_RECIPE,
) -> list[float]:
    """Trains what requires a gradient for `steps` steps, in place; the loss of each step's batch before the step.
    Raises Unsupported where training diverges."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=recipe.learning_rate, momentum=recipe.momentum)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))
    batches = images.shuffled(recipe.batch, seed)
    losses: list[float] = []
    for step in range(steps):
        pixels, targets = next(batches)
        optimizer.zero_grad()
        value = loss(module(pixels.to(device)), targets.to(device))
        if not torch.isfinite(value):
            raise Unsupported(f"training diverged: the loss is {float(value)} after {step} steps")
        value.backward()
        nn.utils.clip_grad_norm_(parameters, recipe.gradient_norm)
        optimizer.step()
        schedule.step()
        losses.append(float(value.detach()))
        progress(step + 1)
    return losses
