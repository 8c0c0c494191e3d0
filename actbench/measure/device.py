"""A GPU, as measurements see it: the one place that waits for it, marks a time on it, and asks what memory it holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class CudaMemory:
    """Bytes of PyTorch's caching allocator.

    `allocated`: blocks handed to tensors and to the libraries' workspaces, each rounded up to 512 bytes
    (`torch.cuda.memory_allocated`). `reserved`: segments taken from the GPU (`torch.cuda.memory_reserved`).
    """

    allocated: int
    reserved: int

    def beyond(self, before: CudaMemory) -> CudaMemory:
        """What is held now and was not before."""
        return CudaMemory(self.allocated - before.allocated, self.reserved - before.reserved)


def has_gpu() -> bool:
    """Whether torch sees a CUDA device."""
    return torch.cuda.is_available()


def gpu(device: torch.device) -> tuple[str, int]:
    """A GPU's name, and the bytes of its memory."""
    properties = torch.cuda.get_device_properties(device)
    return properties.name, properties.total_memory


def synchronize(device: torch.device) -> None:
    """Waits until the GPU has done all that it was given."""
    torch.accelerator.synchronize(device)


def mark(device: torch.device) -> torch.Event:
    """A point in time on the current stream: when the GPU has done what it was given until now."""
    event = torch.Event(device, enable_timing=True)
    event.record(torch.accelerator.current_stream(device))
    return event


def seconds_between(begin: torch.Event, end: torch.Event) -> float:
    """Seconds from one mark to another; waits for the second."""
    end.synchronize()
    return float(begin.elapsed_time(end)) / 1000  # given in milliseconds


def held_memory(device: torch.device) -> CudaMemory:
    """What the allocator holds now."""
    statistics = _statistics()
    return CudaMemory(statistics.memory_allocated(device), statistics.memory_reserved(device))


def peak_memory(device: torch.device) -> CudaMemory:
    """The most that it held, each of the two for itself, since `reset_peak_memory`."""
    statistics = _statistics()
    return CudaMemory(statistics.max_memory_allocated(device), statistics.max_memory_reserved(device))


def reset_peak_memory(device: torch.device) -> None:
    """Gives back what no tensor uses; peaks begin with what is left."""
    statistics = _statistics()
    statistics.empty_cache()
    statistics.reset_peak_memory_stats(device)


def limit_memory(device: torch.device, most: int) -> None:
    """Has the allocator take at most so many bytes from the GPU; beyond, it raises torch.OutOfMemoryError."""
    torch.cuda.set_per_process_memory_fraction(min(1.0, most / gpu(device)[1]), device)


def _statistics() -> Any:
    """`torch.accelerator`, which knows its memory from torch 2.9 on, or `torch.cuda`: they name the functions alike."""
    return torch.accelerator if hasattr(torch.accelerator, "max_memory_reserved") else torch.cuda
