"""Peak memory of a run: from PyTorch's dispatcher on the CPU, from the caching allocator on a GPU."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from actbench.measure.device import CudaMemory, held_memory, peak_memory, reset_peak_memory, synchronize
from actbench.measure.memory_trace import no_garbage_collection, trace_memory
from actbench.records.parts.memory import Memory


@dataclass(frozen=True)
class Peak:
    """What a run needed at its peak, beyond what was there before it. `bytes`: in live tensors. `reserved`: bytes that
    the caching allocator took from the GPU, with its rounding and fragmentation; None on the CPU."""

    bytes: int
    reserved: int | None
    source: Literal["dispatcher", "cuda allocator"]


def memory(subject: Peak, reference: Peak) -> Memory:
    """The record's part of a run, beside that of the fp32 network."""
    return Memory(
        peak_bytes=subject.bytes,
        reserved_bytes=subject.reserved,
        source=subject.source,
        reference_peak_bytes=reference.bytes,
    )


def measure_peak(run: Callable[[], object], device: torch.device) -> Peak:
    """The peak of one call of `run`, by whichever means its device has.

    Call `run` once before on a GPU, where libraries then keep workspaces that would count in the first call alone.
    """
    if device.type == "cuda":
        cuda = cuda_peak(run, device)
        return Peak(cuda.allocated, cuda.reserved, "cuda allocator")
    if device.type == "cpu":
        return Peak(peak_live_bytes(run), None, "dispatcher")
    raise ValueError(f"memory on {device.type!r}: only cpu and cuda can be measured")


def cuda_peak(run: Callable[[], object], device: torch.device) -> CudaMemory:
    """The peaks of the caching allocator during one call of `run`, beyond what it held just before.

    `reserved` can be below `allocated`, where the run fits into gaps between tensors that were there before.
    """
    gc.collect()  # so that no garbage lies in the blocks that could be given back
    with no_garbage_collection():
        synchronize(device)
        reset_peak_memory(device)
        before = held_memory(device)
        run()
        synchronize(device)
        return peak_memory(device).beyond(before)


def peak_live_bytes(run: Callable[[], object]) -> int:
    """The most bytes that tensors made by one call of `run` held at one time, repeatable to the byte: the peak of
    `trace_memory`. Tensors that were there before do not count."""
    return trace_memory(run).peak
