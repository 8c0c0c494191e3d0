"""Trains a network with codecs in place, in the same way for every method: the protocol's recovery, and its loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from actbench.codec.protocols import Gradual, Priced
from actbench.errors import Unsupported
from actbench.network.batches import Batches
from actbench.network.splice import Spliced
from actbench.network.trace import TracedNetwork
from actbench.recipe import PROTOCOL_RECIPE, Recipe
from actbench.recovery.objectives import Loss, objective
from actbench.workloads.base import Workload

Batch = tuple[Tensor, Tensor]
"""Images (n, C, H, W) and targets (n, …)."""

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
    which is what is measured, is the form that is trained. Of large maps a batch takes its step in parts. Raises
    Unsupported where training diverges.
    """
    batches = workload.training_set().shuffled(recipe.batch, seed)
    at_once = Batches.of(network).training
    _prepare(spliced, recipe, 0.0)
    with objective(recipe, spliced, network, workload) as wanted, _training(spliced, recipe) as parameters:
        loss = _with_prices(wanted, spliced)
        losses = train(
            parameters,
            loss,
            batches,
            steps,
            recipe,
            device,
            at_once=at_once,
            before_step=lambda step: _prepare(spliced, recipe, step / steps),
            progress=progress,
        )
        _prepare(spliced, recipe, 1.0)
        with torch.no_grad():
            last = sum(float(part) for part in _losses(loss, next(batches), device, steps, at_once))
    return [*losses, last]


def train(
    parameters: Sequence[nn.Parameter],
    loss: Loss,
    batches: Iterator[Batch],
    steps: int,
    recipe: Recipe,
    device: torch.device,
    *,
    at_once: int | None = None,
    before_step: Callable[[int], None] = lambda step: None,
    progress: Callable[[int], None] = lambda step: None,
) -> list[float]:
    """Trains parameters for `steps` steps, in place, and returns the loss of each step's batch before the step.

    The optimiser is SGD with momentum, and gradients are clipped by their norm.
    At most `at_once` images, all for None, go through forward and backward together: the gradient of a loss that is a
    mean over images is the same whole or in parts, in less memory. `before_step` gets the number of steps done before
    each step, `progress` after it. Raises Unsupported where the loss is not finite.
    """
    optimizer = torch.optim.SGD(parameters, lr=recipe.learning_rate, momentum=recipe.momentum)
    schedule = _schedule(optimizer, recipe, steps)
    losses: list[float] = []
    for step in range(steps):
        before_step(step)
        optimizer.zero_grad()
        value = 0.0
        for part in _losses(loss, next(batches), device, step, at_once):
            part.backward()
            value += float(part.detach())
        nn.utils.clip_grad_norm_(parameters, recipe.gradient_norm)
        optimizer.step()
        schedule.step()
        losses.append(value)
        progress(step + 1)
    return losses


def _schedule(optimizer: torch.optim.Optimizer, recipe: Recipe, steps: int) -> torch.optim.lr_scheduler.LRScheduler:
    if recipe.schedule == "stages":
        return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0 if step < INSERTION * steps else 0.1)
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))


def _losses(loss: Loss, batch: Batch, device: torch.device, steps: int, at_once: int | None) -> Iterator[Tensor]:
    """Yields what each part of a batch adds to its loss. Raises Unsupported where that is not finite."""
    images, targets = batch
    size = at_once or len(images)
    for some, wanted in zip(images.split(size), targets.split(size), strict=True):
        value = loss(some.to(device), wanted.to(device)) * (len(some) / len(images))
        if not torch.isfinite(value):
            raise Unsupported(f"training diverged: the loss is {float(value.detach())} after {steps} steps")
        yield value


def _with_prices(loss: Loss, spliced: Spliced) -> Loss:
    """Adds what codecs ask for beside the recipe's loss."""
    priced = [codec for codec in spliced.codecs().values() if isinstance(codec, Priced)]

    def priced_loss(images: Tensor, targets: Tensor) -> Tensor:
        return sum((codec.price() for codec in priced), loss(images, targets))

    return priced_loss


def _prepare(spliced: Spliced, recipe: Recipe, done: float) -> None:
    """Sets the codecs as they are after a share of the steps, 0 to 1."""
    if recipe.insertion == "sequential":
        names = list(spliced.encode)
        spliced.use(names[: 1 + int(done / INSERTION * len(names))])
    if recipe.gradual:
        for codec in spliced.codecs().values():
            if isinstance(codec, Gradual):
                codec.approach(min(1.0, done / GRADUAL))


@contextmanager
def _training(spliced: Spliced, recipe: Recipe) -> Iterator[list[nn.Parameter]]:
    """Yields the parameters that are trained; the others, and normalisations that adapt, are as before afterwards."""
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
