"""One cell of the training track: codecs for what is saved, fine-tuning, and what it really took."""

from __future__ import annotations

import copy
from collections.abc import Hashable, Mapping
from typing import cast

import torch
from torch import Tensor, nn

from actbench.codec.codec import Codec
from actbench.codec.method import Method
from actbench.codec.protocols import TrainingForm
from actbench.errors import Unsupported
from actbench.feature_map import Maps
from actbench.harness.outcome import Outcome, Progress
from actbench.harness.training_step import Step, measure_step
from actbench.harness.turns import Turns
from actbench.harness.workbench import Workbench
from actbench.info import MethodInfo, load_target
from actbench.recipe import PROTOCOL_RECIPE
from actbench.recovery.train import train
from actbench.settings import Training
from actbench.spec import CellSpec
from actbench.training.payloads import counted_payloads
from actbench.training.task import TrainingTask

SAVED_MAPS: Maps = "conv-inputs"
"""What trained layers save are their inputs, whichever maps inference stores."""


def measure_training(
    bench: Workbench,
    cell: CellSpec,
    settings: Training,
    info: MethodInfo,
    progress: Progress,
    turns: Turns,
    outcome: Outcome,
) -> None:
    """Plans, measures a step on images apart, trains, and evaluates."""
    torch.manual_seed(cell.seed)
    task = TrainingTask.of(bench.maps[SAVED_MAPS].network, settings.last)
    progress("plan", 0, 0)
    method = cast(Method, load_target(info.target)(cell.method.options))
    codecs = _codecs(bench, cell, method, task)

    def form() -> nn.Module:
        """A plan without codecs leaves the network as it is; a reference may have a form of its own."""
        if isinstance(method, TrainingForm):
            return method.training_form(task.vanilla())
        return task.compressed(copy.deepcopy(codecs), settings.normalisation) if codecs else task.vanilla()

    progress("measure", 0, 0)
    step = Step(bench, task)
    taken = measure_step(step, form, codecs, turns, payloads=not isinstance(method, TrainingForm))
    trained = form()
    losses, largest = _train(bench, trained, cell.seed, settings, progress)
    uncoded = sum(fmap.bits for fmap in task.maps if fmap.name not in codecs) * taken.batch
    limit = None if cell.is_reference else cell.budget.ceiling.limit(task.maps) * taken.batch // 8
    run = {"largest_payload_bytes": -(-(largest + uncoded) // 8) if codecs else None, "losses": losses}
    measured = taken.model_copy(update={"limit_bytes": limit, **run})
    outcome.measurements.training = measured
    reference = reference_scores(bench, settings, cell.seed, progress)
    outcome.measurements.quality = bench.quality(_scores(bench, trained, progress), reference)
    outcome.measurements.predicted_memory = step.predicted_memory(form())
    if limit is not None and measured.most_payload_bytes > limit:
        outcome.status = "over_ceiling"
        outcome.reason = f"payloads of {measured.most_payload_bytes} bytes; {limit} are allowed"


def _codecs(bench: Workbench, cell: CellSpec, method: Method, task: TrainingTask) -> Mapping[str, Codec]:
    if isinstance(method, TrainingForm):
        if not cell.is_reference:
            raise Unsupported(f"{cell.method.name} has no payloads that a ceiling could count: it can be a reference")
        return {}
    network = bench.planning(task.view, cell.calibration)
    statistics = bench.maps[SAVED_MAPS].transfer_statistics(cell.calibration)
    codecs = method.plan_saving(network, statistics, cell.budget).codecs
    for name, codec in codecs.items():
        codec.to(bench.device)
        if codec.side != "after":
            raise Unsupported(f"{name}: a codec {codec.side} the nonlinearity; layers save what is behind it")
    return codecs


def _train(
    bench: Workbench, module: nn.Module, seed: int, settings: Training, progress: Progress
) -> tuple[list[float], int]:
    """Trains with random numbers that do not depend on what was measured before → the losses, and the bits of the
    payloads of the step that had the most."""
    torch.manual_seed(seed)
    with counted_payloads(module) as payloads:

        def done(step: int) -> None:
            payloads.end_step()
            progress("train", step, settings.steps)

        losses = train(
            [parameter for parameter in module.parameters() if parameter.requires_grad],
            lambda images, targets: bench.workload.loss(module(images), targets),
            bench.transfer_training.shuffled(bench.training_batch, seed),
            settings.steps,
            PROTOCOL_RECIPE,
            bench.device,
            progress=done,
        )
    return losses, payloads.largest


def _scores(bench: Workbench, module: nn.Module, progress: Progress) -> Tensor:
    module.eval()
    return bench.scores(module, lambda done, total: progress("evaluate", done, total), bench.transfer_evaluation)


def reference_scores(
    bench: Workbench, settings: Training, seed: int, progress: Progress = lambda step, done, total: None
) -> Tensor:
    """Scores (images, K) of the network trained in the same way without compression, once for each seed."""

    def trained() -> Tensor:
        module = TrainingTask.of(bench.maps[SAVED_MAPS].network, settings.last).vanilla()
        _train(bench, module, seed, settings, progress)
        return _scores(bench, module, progress)

    return bench.trained_reference(reference_key(settings, seed), trained)


def reference_key(settings: Training, seed: int) -> Hashable:
    """What the uncompressed network's training depends on."""
    return settings.last, settings.steps, seed
