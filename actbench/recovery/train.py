"""Recovery: the fine-tuning after codecs are inserted, the same for every method (the protocol's open division)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from actbench.codec.protocols import Gradual
from actbench.errors import Unsupported
from actbench.network.splice import Spliced
from actbench.network.trace import TracedNetwork
from actbench.recipe import PROTOCOL_RECIPE, Recipe
from actbench.recovery.objectives import Loss, objective
from actbench.workloads.base import Workload

INSERTION, GRADUAL = 2 / 3, 1 / 2
"""The share of the steps after which the last codec is in place, and after which every codec is at its setting."""


def recover(
    spliced: Spliced,
    network: TracedNetwork,
    workload: Workload,
    steps: int,
    seed: int,
    device: torch.device,
    progress: Callable[[int], None] = lambda step: None,
    recipe: Recipe = PROTOCOL_RECIPE,
) -> list[float]:
    """Trains network and codecs for `steps` steps, in place, and returns the loss before each step and after the last.

    `network`: the fp32 network. Unless the recipe says otherwise normalisations keep their statistics: the folded form,
    which is what is measured, is the form that is trained. Raises Unsupported where training diverges.
    """
    batches = workload.training_set().shuffled(recipe.batch, seed)
    losses: list[float] = []

    def next_loss(of: Loss) -> Tensor:
        images, targets = next(batches)
        loss = of(images.to(device), targets.to(device))
        if not torch.isfinite(loss):
            raise Unsupported(f"recovery diverged: the loss is {float(loss)} after {len(losses)} steps")
        losses.append(float(loss.detach()))
        return loss

    with objective(recipe.loss, spliced, network, workload) as loss, _training(spliced, recipe) as parameters:
        optimizer = torch.optim.SGD(parameters, lr=recipe.learning_rate, momentum=recipe.momentum)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for step in range(steps):
            _prepare(spliced, recipe, step / steps)
            optimizer.zero_grad()
            next_loss(loss).backward()
            nn.utils.clip_grad_norm_(parameters, recipe.gradient_norm)
            optimizer.step()
            schedule.step()
            progress(step + 1)
        _prepare(spliced, recipe, 1.0)
        with torch.no_grad():
            next_loss(loss)
    return losses


def _prepare(spliced: Spliced, recipe: Recipe, done: float) -> None:
    """The codecs as they are after a share of the steps."""
    if recipe.insertion == "sequential":
        names = list(spliced.encode)
        spliced.use(names[: 1 + int(done / INSERTION * len(names))])
    if recipe.gradual:
        for codec in spliced.codecs().values():
            if isinstance(codec, Gradual):
                codec.approach(min(1.0, done / GRADUAL))


@contextmanager
def _training(spliced: Spliced, recipe: Recipe) -> Iterator[list[nn.Parameter]]:
    """The parameters that are trained. The others, and normalisations that adapt, are as before afterwards."""
    module = spliced.module
    frozen: list[nn.Parameter] = []
    if recipe.trained == "codecs":
        of_codecs = {id(parameter) for codec in spliced.codecs().values() for parameter in codec.parameters()}
        frozen = [p for p in module.parameters() if p.requires_grad and id(p) not in of_codecs]
    adapting = [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]
    for parameter in frozen:
        parameter.requires_grad_(False)
    for part in adapting:
        part.train(recipe.batch_statistics == "adapting")
    try:
        yield [parameter for parameter in module.parameters() if parameter.requires_grad]
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)
        for part in adapting:
            part.eval()
