"""Objectives: what recovery training minimises."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from actbench.codec.layouts import as_map
from actbench.codec.payload import Payload
from actbench.codec.protocols import Penalised
from actbench.network.splice import Decode, PayloadListener, Spliced
from actbench.network.tap import Tap
from actbench.network.trace import TracedNetwork
from actbench.recipe import Recipe
from actbench.workloads.base import Workload

Loss = Callable[[Tensor, Tensor], Tensor]
"""Images (n, C, H, W) and targets (n, …) → a scalar."""


@contextmanager
def objective(recipe: Recipe, spliced: Spliced, network: TracedNetwork, workload: Workload) -> Iterator[Loss]:
    """Yields what the recipe minimises of the compressed network: its loss, and penalties where they have a weight.
    `network`: the fp32 network."""
    with _loss(recipe, spliced, network, workload) as loss:
        if recipe.penalty:
            with _penalties(spliced) as penalties:
                yield _penalised(loss, penalties, recipe.penalty)
        else:
            yield loss


@contextmanager
def _loss(recipe: Recipe, spliced: Spliced, network: TracedNetwork, workload: Workload) -> Iterator[Loss]:
    if recipe.loss == "layers":
        with _decoded(spliced) as decoded:
            yield _layers(spliced, network, decoded)
    elif recipe.loss == "distillation":
        yield _distillation(spliced, network, workload)
    else:
        yield lambda images, targets: workload.loss(spliced.module(images), targets)


def _distillation(spliced: Spliced, network: TracedNetwork, workload: Workload) -> Loss:
    """Makes the sum of the task's loss and, with the same weight, the outputs' divergence from the fp32 network's."""

    def loss(images: Tensor, targets: Tensor) -> Tensor:
        outputs = spliced.module(images)
        with torch.no_grad():
            reference = network.module(images)
        return workload.loss(outputs, targets) + workload.divergence(outputs, reference)

    return loss


def _layers(spliced: Spliced, network: TracedNetwork, decoded: dict[str, Tensor]) -> Loss:
    """Makes the mean over maps of `‖x̂ − x‖² / ‖x‖²`: x̂ as decoded, x the fp32 network's map of the same image, before
    the nonlinearity for a codec that stands there."""
    tap = Tap(network)
    side = {name: 0 if codec.side == "before" else 1 for name, codec in spliced.codecs().items()}

    def loss(images: Tensor, targets: Tensor) -> Tensor:
        spliced.module(images)
        with torch.no_grad():
            sides = tap.sides(images)
        errors = [_relative_error(sides[name][side[name]], x) for name, x in decoded.items()]
        return torch.stack(errors).mean()

    return loss


def _relative_error(x: Tensor, decoded: Tensor) -> Tensor:
    return (decoded - x).square().sum() / x.square().sum().clamp_min(1e-12)


@contextmanager
def _decoded(spliced: Spliced) -> Iterator[dict[str, Tensor]]:
    """Yields what was decoded in the last pass, (batch, C, H, W), by the map's name."""
    decoded: dict[str, Tensor] = {}

    def keep(module: nn.Module, arguments: object, x: Tensor) -> None:
        assert isinstance(module, Decode)
        decoded[module.name] = as_map(x, module.layout)

    hooks = [decoder.register_forward_hook(keep) for decoder in spliced.decoders().values()]
    try:
        yield decoded
    finally:
        for hook in hooks:
            hook.remove()


def _penalised(loss: Loss, penalties: dict[str, Tensor], weight: float) -> Loss:
    """Makes the sum of a loss and the penalties of the pass that computes it, times their weight."""

    def total(images: Tensor, targets: Tensor) -> Tensor:
        penalties.clear()
        value = loss(images, targets)
        return value + weight * torch.stack(list(penalties.values())).sum() if penalties else value

    return total


@contextmanager
def _penalties(spliced: Spliced) -> Iterator[dict[str, Tensor]]:
    """Yields the penalties of the last pass, by the map's name, of codecs that are in use."""
    penalties: dict[str, Tensor] = {}

    def observe(name: str, codec: Penalised) -> PayloadListener:
        def listen(x: Tensor, payload: Payload) -> None:
            penalties[name] = codec.penalty(x)

        return listen

    stages = spliced.encoders().values()
    penalised = [(stage, stage.codec) for stage in stages if isinstance(stage.codec, Penalised)]
    for stage, codec in penalised:
        stage.observer = observe(stage.name, codec)
    try:
        yield penalties
    finally:
        for stage, _ in penalised:
            stage.observer = None
