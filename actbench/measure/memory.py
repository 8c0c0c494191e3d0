"""Peak memory of a run: from PyTorch's dispatcher on the CPU, from the caching allocator on a GPU."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from actbench.records.parts.memory import Memory


@dataclass(frozen=True)
class Peak:
    """What a run needed at its peak, beyond what was there before it. `bytes`: in live tensors. `reserved`: bytes that
    the caching allocator took from the GPU, with its rounding and fragmentation; None on the CPU."""

    bytes: int
    reserved: int | None
    source: Literal["dispatcher", "cuda allocator"]


@dataclass(frozen=True)
class CudaMemory:
    """Peaks of PyTorch's caching allocator during a run, in bytes beyond what it held before.

    `allocated`: blocks handed to tensors and to the libraries' workspaces, each rounded up to 512 bytes
    (`torch.cuda.max_memory_allocated`). `reserved`: segments taken from the GPU (`torch.cuda.max_memory_reserved`);
    it can be below `allocated`, where the run fits into gaps between tensors that were there before.
    """

    allocated: int
    reserved: int


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
    """The peaks of the caching allocator during one call of `run`, above what it held just before."""
    gc.collect()  # so that no garbage lies in the blocks that `empty_cache` could give back
    with _no_garbage_collection():
        torch.cuda.synchronize(device)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        allocated, reserved = torch.cuda.memory_allocated(device), torch.cuda.memory_reserved(device)
        run()
        torch.cuda.synchronize(device)
        return CudaMemory(
            torch.cuda.max_memory_allocated(device) - allocated, torch.cuda.max_memory_reserved(device) - reserved
        )


def peak_live_bytes(run: Callable[[], object]) -> int:
    """The most bytes that tensors made by one call of `run` held at one time, repeatable to the byte.

    Each storage counts once, however many tensors view it; tensors that were there before do not count. Neither does
    what an operator allocates and frees inside its kernel. Where gradients meet, backward adds them out of place
    while it is being watched, so there the peak can lie one gradient above that of an unwatched run. Tensors without a
    storage (sparse ones) raise NotImplementedError.
    """
    ledger = _Ledger()
    with _no_garbage_collection(), ledger:
        run()
    return ledger.peak


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Keeps the collector from freeing reference cycles: when it would depends on what ran before."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class _Ledger(TorchDispatchMode):
    """Sees the tensors of every operator and keeps account of their storages while they live."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = 0
        self.peak = 0
        self._entries: dict[int, _Entry] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        with self:
            # In inference mode composite operators arrive whole: their parts allocate too.
            result = func.decompose(*args, **kwargs)
        if result is not NotImplemented:
            return result
        # An operator's unknown inputs were there before the run, except that `torch.tensor` makes its tensor
        # unseen and then hands it to `lift_fresh`.
        if func is not torch.ops.aten.lift_fresh.default:
            self._enter((args, kwargs), existed=True)
        result = func(*args, **kwargs)
        self._enter(result, existed=False)
        self.peak = max(self.peak, self.live)
        return result

    def _enter(self, tree: Any, *, existed: bool) -> None:
        for tensor in tree_leaves(tree):
            if isinstance(tensor, Tensor):
                self._update(tensor.untyped_storage(), existed)

    def _update(self, storage: torch.UntypedStorage, existed: bool) -> None:
        key, size = id(storage), storage.nbytes()
        if key not in self._entries:
            alive = weakref.ref(storage, lambda _: self._free(key))
            self._entries[key] = _Entry(alive, size if existed else 0)
        entry = self._entries[key]
        counted = max(0, size - entry.before)
        self.live += counted - entry.counted
        entry.counted = counted

    def _free(self, key: int) -> None:
        self.live -= self._entries.pop(key).counted


@dataclass
class _Entry:
    """One storage: bytes that it had before the run, and bytes that count now (it may be resized)."""

    alive: weakref.ref[torch.UntypedStorage]
    before: int
    counted: int = 0
