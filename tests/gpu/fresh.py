"""Functions that a test runs in a new process, whose allocator holds nothing yet."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

import torch
from torch import Tensor, nn

from actbench.measure.allocator import AllocatorModel, Block
from actbench.measure.device import CudaMemory, limit_memory, peak_memory, synchronize
from actbench.measure.memory_trace import trace_memory
from actbench.measure.prediction import predict_cuda

Result = TypeVar("Result")

DEVICE = torch.device("cuda", 0)
IMAGES = (64, 3, 64, 64)


def in_a_new_process(function: Callable[..., Result], *arguments: object) -> Result:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def network() -> nn.Sequential:
    """Its largest activations are 32 MiB for IMAGES, so that what libraries take for themselves weighs little."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(64, 10),
    )  # fmt: skip


def run(module: nn.Module, images: Tensor, *, training: bool) -> None:
    if not training:
        with torch.no_grad():
            module(images)
        return
    module.zero_grad()
    targets = torch.zeros(len(images), dtype=torch.long, device=images.device)
    nn.functional.cross_entropy(module(images), targets).backward()


def predicted(training: bool) -> CudaMemory:
    """From a run on the CPU."""
    module, images = network().train(training), torch.randn(IMAGES)
    before = [*module.parameters(), *module.buffers(), images]
    allocator = predict_cuda(trace_memory(lambda: run(module, images, training=training), before))
    return CudaMemory(allocator.peak_allocated, allocator.peak_reserved)


def measured(training: bool) -> CudaMemory:
    """Of the same run on the GPU, all that the process allocated."""
    module, images = network().train(training).to(DEVICE), torch.randn(IMAGES, device=DEVICE)
    run(module, images, training=training)
    synchronize(DEVICE)
    return peak_memory(DEVICE)


def measured_and_replayed(training: bool) -> tuple[CudaMemory, CudaMemory]:
    """Peaks of the allocator, and of its model after the same requests, those of libraries among them."""
    torch.cuda.init()
    torch.cuda.memory._record_memory_history(context=None, stacks="python", max_entries=1_000_000)
    peak = measured(training)
    allocator, blocks = AllocatorModel(), dict[int, Block]()
    for request in torch.cuda.memory._snapshot()["device_traces"][DEVICE.index]:
        if request["action"] == "alloc":
            blocks[request["addr"]] = allocator.allocate(request["size"])
        elif request["action"] == "free_completed":
            allocator.free(blocks.pop(request["addr"]))
    return peak, CudaMemory(allocator.peak_allocated, allocator.peak_reserved)


def fits(limit: int, most: int) -> bool:
    """Whether a tensor of so many bytes can be had where the allocator may take `limit`."""
    limit_memory(DEVICE, limit)
    try:
        torch.empty(most, dtype=torch.uint8, device=DEVICE)
    except torch.OutOfMemoryError:
        return False
    return True
