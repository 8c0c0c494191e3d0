"""A step of training on a batch apart: what it keeps, how long it takes, and how far its gradients are off."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from statistics import median

import torch
from torch import Tensor, nn

from actbench.codec.codec import Codec
from actbench.errors import InvalidCodec
from actbench.feature_map import FeatureMap
from actbench.harness.turns import Turns
from actbench.harness.workbench import Workbench
from actbench.measure.footprint import check_packed
from actbench.measure.latency import Clock, interleaved
from actbench.measure.memory import measure_peak
from actbench.measure.memory_trace import MemoryTrace, trace_memory
from actbench.measure.prediction import largest_batch, predicted_memory
from actbench.network.tap import Tap, TapSide
from actbench.records.parts.memory import PredictedMemory
from actbench.records.parts.training import Training as TrainingPart
from actbench.training.gradients import gradient_errors
from actbench.training.layers import Work, watched
from actbench.training.ledger import saved_bytes
from actbench.training.task import TrainingTask

_STEPS_FOR_SHARES = 3

_SEED = 0
"""Of what is random in a codec while gradients are compared: the same for every cell."""

_CHECKED = 4
"""Images whose payloads are packed, unpacked and decoded."""


class Step:
    """Forward and backward on a fixed batch, the same for every cell, of images on which no codec was fitted."""

    def __init__(self, bench: Workbench, task: TrainingTask) -> None:
        self.workload, self.device, self.task = bench.workload, bench.device, task
        self.vanilla = task.vanilla()
        measured = bench.transfer_measured
        self.images, self.targets = measured.images(slice(None)).to(bench.device), measured.targets.to(bench.device)

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

    def _second(self, module: nn.Module, images: int | None) -> Step:
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


def measure_step(
    step: Step, form: Callable[[], nn.Module], codecs: Mapping[str, Codec], turns: Turns, *, payloads: bool
) -> TrainingPart:
    """Measures a step on the fixed batch. Each call of `form` makes the module anew, with codecs as they were planned:
    what a codec keeps from step to step is never of the images that are measured. Without `payloads` what the module
    keeps is not that of codecs."""
    payload_bytes = _payload_bytes(step, codecs)  # first: it checks the codecs
    saved, reference_saved = step.saved(form()), step.saved(step.vanilla)
    torch.manual_seed(_SEED)
    gradients = gradient_errors(form(), step.vanilla, step.loss)
    batch, module = len(step.images), form()
    with turns.alone():
        timing = interleaved(
            lambda: step.run(module), lambda: step.run(step.vanilla), batch=batch, device=step.device, warmup=1
        )
        shares = step.shares(module) if codecs else {}
    peak, reference_peak = step.peak(module), step.peak(step.vanilla)
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
        gradients=gradients,
        losses=[],
    )


def _payload_bytes(step: Step, codecs: Mapping[str, Codec]) -> int:
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
    codec, untouched = copy.deepcopy(codec), copy.deepcopy(codec)
    # Ranks may follow a batch's values: a decomposition stores them with what they are the ranks of.
    check_packed(name, codec, untouched, x[:_CHECKED], x[-_CHECKED:], same_layout=False)
    payload = codec.encode(x)
    decoded = codec.decode(payload)
    if decoded.shape != x.shape or not torch.isfinite(decoded).all():
        raise InvalidCodec(f"{name}: decode gave {tuple(decoded.shape)}, or what is not finite")
    return int(payload.bits_per_image().sum())
