"""How a compressed network is trained in the open division: the protocol's recipe, and what methods may change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

RecipeName = Literal["protocol", "paper"]
LossName = Literal["task", "distillation", "layers"]


@dataclass(frozen=True)
class Recipe:
    """Stochastic gradient descent with momentum, its learning rate falling to zero as a cosine. The defaults are the
    protocol's: what every method gets. A strategy that a method offers is an option of it, or its authors' recipe.

    `insertion`: all codecs from the first step on, or one after the other, in the order in which maps are read, over
    the first two thirds of the steps. `trained`: codecs alone, or the network with them. `loss`: the task's; with
    `distillation`, to which is added the divergence from the fp32 network's outputs; or `layers`, the relative squared
    error of every decoded map. `batch_statistics` of normalisations: `frozen`, as the deployed form has them, or
    `adapting` while training. `gradual`: codecs start mild and reach their planned setting over the first half of the
    steps. `penalty`: the weight of the sum of what codecs add to the loss (`Penalised`). `schedule`: the cosine, or
    `stages`, constant while codecs are inserted, and a tenth of it from then on. `gradient_norm`: the norm to which
    gradients are clipped.
    """

    insertion: Literal["together", "sequential"] = "together"
    trained: Literal["everything", "codecs"] = "everything"
    loss: LossName = "task"
    batch_statistics: Literal["frozen", "adapting"] = "frozen"
    gradual: bool = False
    penalty: float = 0.0
    schedule: Literal["cosine", "stages"] = "cosine"
    learning_rate: float = 0.01
    momentum: float = 0.9
    batch: int = 64
    gradient_norm: float = 2.0


PROTOCOL_RECIPE = Recipe()
"""What every method gets."""
