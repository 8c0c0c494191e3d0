"""One cell of the training track: codecs for what is saved, fine-tuning, and what it really took."""

from __future__ import annotations

import copy
from collections.abc import Hashable, Mapping
from statistics import median
from typing import cast

import torch
from torch import Tensor, nn

from actbench.codec.codec import Codec
from actbench.codec.method import Method
from actbench.codec.protocols import TrainingForm
from actbench.errors import InvalidCodec, Unsupported
from actbench.feature_map import FeatureMap, Maps
from actbench.harness.outcome import Outcome, Progress
from actbench.harness.workbench import Workbench
from actbench.info import MethodInfo, load_target
from actbench.measure.footprint import check_packed
from actbench.measure.latency import Clock, interleaved
from actbench.measure.memory import measure_peak
from actbench.measure.memory_trace import MemoryTrace, trace_memory
from actbench.measure.prediction import largest_batch, predicted_memory
from actbench.network.tap import Tap, TapSide
from actbench.recipe import PROTOCOL_RECIPE
from actbench.records.parts.memory import PredictedMemory
from actbench.records.parts.training import Training as TrainingPart
from actbench.recovery.train import train
from actbench.settings import Training
from actbench.spec import CellSpec
from actbench.training.gradients import gradient_errors
from actbench.training.layers import Work, watched
from actbench.training.ledger import saved_bytes
from actbench.training.task import TrainingTask

SAVED_MAPS: Maps = "conv-inputs"
"""What trained layers save are their inputs, whichever maps inference stores."""

_FIXED_SEED = 0
"""Of the batch on which memory, time and gradients are measured: the same for every cell."""

_STEPS_FOR_SHARES = 3

_CHECKED = 4
"""Images whose payloads are packed, unpacked and decoded."""


def measure_training(
    bench: Workbench, cell: CellSpec, settings: Training, info: MethodInfo, progress: Progress, outcome: Outcome
) -> None:
    """Plans, measures a step on a fixed batch, trains, and evaluates."""
    torch.manual_seed(cell.seed)
    task = TrainingTask.of(bench.maps[SAVED_MAPS].network, settings.last)
    progress("plan", 0, 0)
    method = cast(Method, load_target(info.target)(cell.method.options))
    codecs = _codecs(bench, cell, method, task)

    def form() -> nn.Module:
        """A reference keeps torch's own layers, whatever it does with them."""
        if not cell.is_reference:
            return task.compressed(codecs, settings.normalisation)
        return method.training_form(task.vanilla()) if isinstance(method, TrainingForm) else task.vanilla()

    progress("measure", 0, 0)
    step, first = _Step(bench, task), form()
    taken = _measure_step(step, first, codecs, payloads=not isinstance(method, TrainingForm))
    limit = None if cell.is_reference else cell.budget.ceiling.limit(task.maps) * len(step.images) // 8
    trained = form()
    losses = _train(bench, trained, cell.seed, settings, progress)
    measured = taken.model_copy(update={"limit_bytes": limit, "losses": losses})
    outcome.measurements.training = measured
    reference = reference_scores(bench, settings, cell.seed, progress)
    outcome.measurements.quality = bench.quality(_scores(bench, trained, progress), reference)
    outcome.measurements.predicted_memory = step.predicted_memory(first)
    if limit is not None and measured.payload_bytes is not None and measured.payload_bytes > limit:
        outcome.status = "over_ceiling"
        outcome.reason = f"payloads of {measured.payload_bytes} bytes; {limit} are allowed"


class _Step:
    """Forward and backward on a fixed batch."""

    def __init__(self, bench: Workbench, task: TrainingTask) -> None:
        self.workload, self.device, self.task = bench.workload, bench.device, task
        self.vanilla = task.vanilla()
        pixels, targets = next(bench.transfer_training.shuffled(_batch(bench), _FIXED_SEED))
        self.images, self.targets = pixels.to(bench.device), targets.to(bench.device)

    def loss(self, module: nn.Module) -> Tensor:
        """The workload's loss of the batch."""
        return self.workload.loss(module(self.images), self.targets)

    def run(self, module: nn.Module) -> None:
        """Leaves the gradients."""
        module.zero_grad()
        self.loss(module).backward()

    def peak(self, module: nn.Module, images: int | None = None) -> int:
        """Bytes at the peak of a step, with so many of the images, that is not the first."""
        part = self._second(module, images)
        return measure_peak(lambda: part.run(module), self.device).bytes

    def predicted_memory(self, module: nn.Module) -> PredictedMemory | None:
        """What a GPU would hold during a step that is not the first; None on a GPU, where it is measured."""
        if self.device.type != "cpu":
            return None
        batch = len(self.images)
        return predicted_memory(batch, self._trace(module, batch), self._trace(module, batch // 2))

    def _trace(self, module: nn.Module, images: int) -> MemoryTrace:
        part = self._second(module, images)
        trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
        momentum = [torch.empty_like(parameter, device="meta") for parameter in trained]
        before = [*module.parameters(), *module.buffers(), *momentum, part.images, part.targets]
        return trace_memory(lambda: part.run(module), before)

    def _second(self, module: nn.Module, images: int | None) -> _Step:
        """A step with so many of the images, after the first of them, before which there are no gradients."""
        part = copy.copy(self)
        part.images, part.targets = self.images[:images].clone(), self.targets[:images].clone()
        part.run(module)
        module.zero_grad()
        return part

    def shares(self, module: nn.Module) -> dict[Work, float]:
        """Seconds of a step for encoding, and for the gradients of weights from what was saved; the median of a few."""
        times: dict[Work, list[float]] = {"encode": [], "gradient": []}
        for _ in range(_STEPS_FOR_SHARES):
            clocks = {work: Clock(self.device) for work in times}
            with watched(module, lambda work: clocks[work]):  # noqa: B023 (called within this turn)
                self.run(module)
            for work, clock in clocks.items():
                times[work].append(clock.seconds())
        return {work: median(seconds) for work, seconds in times.items()}

    def saved(self, module: nn.Module) -> dict[str, int]:
        """Bytes that are kept between forward and backward, by the module that saved them."""
        with saved_bytes(module) as ledger:
            loss = self.loss(module)
            parts = ledger.bytes_by_module()
        del loss
        return parts


def _batch(bench: Workbench) -> int:
    """Images in a step: two at least, as half of them tell how memory grows."""
    return min(PROTOCOL_RECIPE.batch, max(2, bench.batches.training))


def _codecs(bench: Workbench, cell: CellSpec, method: Method, task: TrainingTask) -> Mapping[str, Codec]:
    if cell.is_reference:
        return {}
    network = bench.planning(task.view, cell.calibration)
    statistics = bench.maps[SAVED_MAPS].transfer_statistics(cell.calibration)
    codecs = method.plan_saving(network, statistics, cell.budget).codecs
    for name, codec in codecs.items():
        codec.to(bench.device)
        if codec.side != "after":
            raise Unsupported(f"{name}: a codec {codec.side} the nonlinearity; layers save what is behind it")
    return codecs


def _measure_step(step: _Step, module: nn.Module, codecs: Mapping[str, Codec], *, payloads: bool) -> TrainingPart:
    """A step on the fixed batch. Without `payloads` what the module keeps is not that of codecs."""
    payload_bytes = _payload_bytes(step, codecs)  # first: it checks the codecs
    saved, reference_saved = step.saved(module), step.saved(step.vanilla)
    batch = len(step.images)
    timing = interleaved(
        lambda: step.run(module), lambda: step.run(step.vanilla), batch=batch, device=step.device, warmup=1
    )
    peak, reference_peak = step.peak(module), step.peak(step.vanilla)
    shares = step.shares(module) if codecs else {}
    return TrainingPart(
        layers=[name for names in step.task.layers.values() for name in names],
        batch=batch,
        saved_bytes=sum(saved.values()),
        reference_saved_bytes=sum(reference_saved.values()),
        payload_bytes=payload_bytes if payloads else None,
        reference_payload_bytes=sum(fmap.bits for fmap in step.task.maps) * batch // 8,
        limit_bytes=None,
        peak_bytes=peak,
        reference_peak_bytes=reference_peak,
        largest_batch=largest_batch(reference_peak, batch, peak, step.peak(module, batch // 2)),
        encode_seconds=shares.get("encode"),
        gradient_seconds=shares.get("gradient"),
        saved_by_module=saved,
        choices={name: codec.describe() for name, codec in codecs.items()},
        step=timing,
        gradients=gradient_errors(module, step.vanilla, step.loss),
        losses=[],
    )


def _payload_bytes(step: _Step, codecs: Mapping[str, Codec]) -> int:
    """Bytes of the trained layers' inputs on the fixed batch, as the papers count: what else is saved is not in it."""
    bits = []

    def add(fmap: FeatureMap, side: TapSide, x: Tensor) -> None:
        if side == "after":
            bits.append(_checked_bits(fmap.name, codecs[fmap.name], x) if fmap.name in codecs else fmap.bits * len(x))

    with torch.no_grad():
        Tap(step.task.view).listen(step.images, add)
    return -(-sum(bits) // 8)


def _checked_bits(name: str, codec: Codec, x: Tensor) -> int:
    """Bits of a batch (n, C, H, W). Raises InvalidCodec where they are not what they claim to be."""
    untouched = copy.deepcopy(codec)
    # Ranks may follow a batch's values: a decomposition stores them with what they are the ranks of.
    check_packed(name, codec, untouched, x[:_CHECKED], x[-_CHECKED:], same_layout=False)
    payload = codec.encode(x)
    decoded = codec.decode(payload)
    if decoded.shape != x.shape or not torch.isfinite(decoded).all():
        raise InvalidCodec(f"{name}: decode gave {tuple(decoded.shape)}, or what is not finite")
    return int(payload.bits_per_image().sum())


def _train(bench: Workbench, module: nn.Module, seed: int, settings: Training, progress: Progress) -> list[float]:
    return train(
        [parameter for parameter in module.parameters() if parameter.requires_grad],
        lambda images, targets: bench.workload.loss(module(images), targets),
        bench.transfer_training.shuffled(_batch(bench), seed),
        settings.steps,
        PROTOCOL_RECIPE,
        bench.device,
        progress=lambda step: progress("train", step, settings.steps),
    )


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
