"""GPU memory from a run on the CPU: its events, replayed in the model of the allocator. Predicted, never measured.

The operators of a GPU are taken to allocate what those of the CPU do. Not in it: workspaces of convolution libraries
(cuDNN, cuBLAS), what a kernel allocates and frees inside itself, and the CUDA context.
"""

from __future__ import annotations

from actbench.measure.allocator import AllocatorModel
from actbench.measure.memory_trace import MemoryTrace
from actbench.records.parts.memory import CAPACITIES, PredictedMemory

MOST_IMAGES = 1 << 24
"""The largest batch that is named: beyond, or where memory does not grow with the batch, nothing is learned from it."""


def predict_cuda(trace: MemoryTrace) -> AllocatorModel:
    """The allocator after a run. What existed was allocated before, in its order."""
    allocator = AllocatorModel()
    blocks = {storage: allocator.allocate(size) for storage, size in trace.existing.items()}
    for event in trace.events:
        old = blocks.pop(event.storage, None)
        if event.bytes:
            blocks[event.storage] = allocator.allocate(event.bytes)
        if old is not None:  # a storage that is resized is copied before it is freed
            allocator.free(old)
    return allocator


def predicted_memory(batch: int, whole: MemoryTrace, half: MemoryTrace) -> PredictedMemory:
    """The record's part, from the traces of a batch and of half of it."""
    allocator = predict_cuda(whole)
    peak, half_peak = allocator.peak_allocated, predict_cuda(half).peak_allocated
    return PredictedMemory(
        batch=batch,
        allocated_bytes=peak,
        reserved_bytes=allocator.peak_reserved,
        largest_batch={name: largest_batch(most, batch, peak, half_peak) for name, most in CAPACITIES.items()},
    )


def largest_batch(limit: int, batch: int, peak: int, half_peak: int) -> int:
    """Images that fit in `limit` bytes, by the straight line through the peaks of a batch and of half of it (rounded
    down): what grows with the batch and what does not. From 0, where none fits, to MOST_IMAGES."""
    images, more = batch - batch // 2, peak - half_peak
    if more <= 0:
        return MOST_IMAGES if peak <= limit else 0
    return max(0, min(MOST_IMAGES, batch + (limit - peak) * images // more))
