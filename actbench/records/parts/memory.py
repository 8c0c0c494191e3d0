"""Memory: bytes at the peak of a run, measured, and as a GPU would have them."""

from __future__ import annotations

from pydantic import model_validator
from typing_extensions import Self

from actbench.records.column import Column, kibibytes
from actbench.records.parts.implied import require
from actbench.records.parts.part import Count, Part, PositiveCount

CAPACITIES = {f"{gibibytes} GiB": gibibytes << 30 for gibibytes in (8, 16, 24, 80)}
"""Bytes of GPUs' memories, by name."""


class MemoryStep(Part):
    """One step of a run: bytes of the maps that are stored when it begins, and the most bytes in live tensors until the
    next one does."""

    name: str
    stored_bytes: Count
    peak_bytes: Count


class Memory(Part):
    """Peak bytes while one image passes through the deployed form, beside the fp32 network's. `timeline`: step by step,
    in their order; None on a GPU, and in older records. `whole`: the steps that need whole maps."""

    peak_bytes: Count
    reserved_bytes: Count | None
    source: str
    reference_peak_bytes: Count
    timeline: list[MemoryStep] | None = None
    whole: list[str] | None = None

    @model_validator(mode="after")
    def _peak_is_in_the_timeline(self) -> Self:
        if self.timeline is not None:
            most = max((step.peak_bytes for step in self.timeline), default=0)
            require(most == self.peak_bytes, f"peak_bytes is {self.peak_bytes}, and {most} in the timeline")
        return self

    @property
    def peak_step(self) -> MemoryStep | None:
        """The step that holds the peak."""
        return max(self.timeline, key=lambda step: step.peak_bytes) if self.timeline else None


class PredictedMemory(Part):
    """What PyTorch's allocator would hold on a GPU at the peak of a run: predicted, by its published rules, from the
    allocations of a run on the CPU. The run: `batch` images through the deployed form; on the training track a step.

    Parameters, buffers, images and, in training, gradients and momentum are in it; the workspaces of convolution
    libraries and the CUDA context are not. `allocated_bytes`: in blocks (`torch.cuda.max_memory_allocated`);
    `reserved_bytes`: in segments (`torch.cuda.max_memory_reserved`). `largest_batch`: images for which the blocks fit
    in a memory, by its size, on the straight line through a batch and half of it.
    """

    batch: PositiveCount
    allocated_bytes: Count
    reserved_bytes: Count
    largest_batch: dict[str, Count]

    @model_validator(mode="after")
    def _blocks_are_in_segments(self) -> Self:
        both = f"allocated_bytes is {self.allocated_bytes}, and reserved_bytes {self.reserved_bytes}"
        require(self.allocated_bytes <= self.reserved_bytes, f"{both}: blocks lie in segments")
        return self

    @property
    def fragmentation(self) -> float:
        """The share of the segments that is in no block at the peak: 1 − allocated / reserved."""
        return 1 - self.allocated_bytes / max(1, self.reserved_bytes)


COLUMNS = (
    Column[Memory](
        "memory_bytes",
        "memory",
        "bytes in live tensors at the peak, while one image passes through the deployed form",
        lambda part: part.peak_bytes,
        kibibytes,
        better="less",
        repeats="exact",
    ),
)


def _fitting(memory: str) -> Column[PredictedMemory]:
    return Column(
        f"predicted_batch_{memory.lower().replace(' ', '_')}",
        f"batch in {memory}",
        f"images that fit in a GPU of {memory}: predicted, from a run on the CPU",
        lambda part: part.largest_batch.get(memory),
        better="more",
    )


PREDICTED_COLUMNS = (
    Column[PredictedMemory](
        "predicted_allocated_bytes",
        "allocated on a GPU",
        "bytes in blocks of PyTorch's allocator at the peak, for a batch: predicted, from a run on the CPU",
        lambda part: part.allocated_bytes,
        kibibytes,
        better="less",
        repeats="exact",
    ),
    Column[PredictedMemory](
        "predicted_reserved_bytes",
        "reserved on a GPU",
        "bytes in segments of PyTorch's allocator at the peak, for a batch: predicted, from a run on the CPU",
        lambda part: part.reserved_bytes,
        kibibytes,
        better="less",
    ),
    Column[PredictedMemory](
        "predicted_fragmentation",
        "fragmentation on a GPU",
        "share of the reserved bytes that is not allocated at the peak: predicted, from a run on the CPU",
        lambda part: part.fragmentation,
        better="less",
    ),
    *map(_fitting, CAPACITIES),
)
