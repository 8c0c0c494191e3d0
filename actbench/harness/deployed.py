"""What is measured of the deployed form as it runs: outputs, time and memory."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from actbench.errors import InvalidCodec
from actbench.harness.workbench import Workbench
from actbench.measure.latency import interleaved, timed
from actbench.measure.memory import measure_peak, memory
from actbench.measure.memory_trace import MemoryTrace, trace_memory
from actbench.measure.prediction import predicted_memory
from actbench.records.parts.latency import Comparison, Compiled, Latency
from actbench.records.parts.memory import Memory, MemoryStep, PredictedMemory
from actbench.runtime.compiled import CompiledUnits, compiled_module
from actbench.runtime.network import StripedNetwork

OUTPUT_TOLERANCE = 0.05
"""Root mean square of the difference that outputs may have, relative to that of outputs: sums in another order turn a
code here and there, and what is behind it."""


def check_outputs(striped: StripedNetwork, deployed: nn.Module, images: Tensor) -> None:
    """Raises InvalidCodec where a network in stripes does not give what it gives on whole maps."""
    with torch.no_grad():
        expected, given = tree_leaves(deployed(images)), tree_leaves(striped(images))
    for first, second in zip(expected, given, strict=True):
        difference = (first.double() - second.double()).square().mean().sqrt()
        if difference > OUTPUT_TOLERANCE * first.double().square().mean().sqrt():
            raise InvalidCodec(f"in stripes of rows the network gives other outputs: they differ by {difference:.3g}")


def measure_latency(bench: Workbench, striped: StripedNetwork) -> Latency:
    """Seconds beside the fp32 network, in turn: of a batch, and of one image."""
    first_call = timed(lambda: striped(bench.image), bench.device)
    whole, single = (_compared(bench, striped, images) for images in (bench.latency_images, bench.image))
    seconds = striped.stages(bench.latency_images)
    return Latency(
        **dict(whole),
        encode=seconds["encode"],
        decode=seconds["decode"],
        layers=seconds["layers"],
        single=single,
        first_call=first_call,
    )


def measure_compiled(bench: Workbench, striped: StripedNetwork, deployed: nn.Module) -> Compiled:
    """Seconds of one image through the compiled form, beside the fp32 network compiled and as it comes."""
    from actbench.harness.isolation.limits import files_allowed  # of systems that have such limits

    units = CompiledUnits(files_allowed)
    compiled = striped.carried_out_by(units)
    first_call = timed(lambda: compiled(bench.image), bench.device)
    check_outputs(compiled, deployed, bench.image)
    with files_allowed(), torch.no_grad():
        reference = compiled_module(bench.reference.module, bench.image)
    single = interleaved(lambda: compiled(bench.image), lambda: reference(bench.image), batch=1, device=bench.device)
    return Compiled(
        single=single,
        eager=_compared(bench, compiled, bench.image),
        units=units.count,
        compiled=units.compiled,
        first_call=first_call,
    )


def measure_memory(bench: Workbench, striped: StripedNetwork) -> Memory:
    """Peak bytes while one image passes through, step by step, beside the fp32 network's."""
    planned = striped.schedule(tuple(bench.image.shape))
    if bench.device.type != "cpu":
        return memory(measure_peak(lambda: striped(bench.image), bench.device), bench.reference_peak)
    steps: dict[str, int] = {}
    trace = trace_memory(
        lambda: striped(bench.image, lambda step, stored: steps.__setitem__(f"{len(steps)} {step}", stored)),
        place=lambda: next(reversed(steps), ""),
    )
    peaks = trace.peaks()
    return Memory(
        peak_bytes=trace.peak,
        reserved_bytes=None,
        source="dispatcher",
        reference_peak_bytes=bench.reference_peak.bytes,
        timeline=[
            MemoryStep(name=name.partition(" ")[2], stored_bytes=stored, peak_bytes=peaks.get(name, 0))
            for name, stored in steps.items()
        ],
        whole=list(planned.whole),
    )


def predict_memory(bench: Workbench, striped: StripedNetwork) -> PredictedMemory | None:
    """What a GPU would hold while a batch passes through; None on a GPU, where it is measured. Of two images at least,
    as half of the batch tells how memory grows."""
    if bench.device.type != "cpu":
        return None
    batch = max(2, len(bench.latency_images))

    def trace(count: int) -> MemoryTrace:
        index = torch.arange(count) % len(bench.latency_images)
        images = bench.latency_images[index]  # in a storage of its own
        striped.schedule(tuple(images.shape))
        return trace_memory(lambda: striped(images), [*striped.tensors(), images])

    return predicted_memory(batch, trace(batch), trace(batch // 2))


def _compared(bench: Workbench, striped: StripedNetwork, images: Tensor) -> Comparison:
    def reference() -> object:
        with torch.no_grad():
            return bench.reference.module(images)

    return interleaved(lambda: striped(images), reference, batch=len(images), device=bench.device)
