"""What a run does to memory, event by event, as the dispatcher sees it on the CPU."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


@dataclass(frozen=True)
class MemoryEvent:
    """A storage has `bytes` from now on; none once it is freed. `operator`: the one that ran last, as
    `aten.convolution`; empty before the first. `place`: where the run is, in its own words."""

    operator: str
    storage: int
    bytes: int
    place: str = ""


@dataclass(frozen=True)
class MemoryTrace:
    """All events of a run, in order. `existing`: the bytes of each storage that was there before it."""

    existing: Mapping[int, int]
    events: tuple[MemoryEvent, ...]

    @cached_property
    def timeline(self) -> list[int]:
        """Live bytes after each event, beyond what was there before the run: freeing that makes no room."""
        counted: dict[int, int] = {}
        live, timeline = 0, []
        for event in self.events:
            counts = max(0, event.bytes - self.existing.get(event.storage, 0))
            live += counts - counted.get(event.storage, 0)
            counted[event.storage] = counts
            timeline.append(live)
        return timeline

    @property
    def peak(self) -> int:
        """The most live bytes."""
        return max(self.timeline, default=0)

    def peaks(self) -> dict[str, int]:
        """The most live bytes in each place of the run, in the order in which they come."""
        most: dict[str, int] = {}
        for event, live in zip(self.events, self.timeline, strict=True):
            most[event.place] = max(live, most.get(event.place, 0))
        return most

    @property
    def peak_operator(self) -> str:
        """The operator that first made the peak; empty where the run allocated nothing."""
        return self.events[self.timeline.index(self.peak)].operator if self.peak else ""


def trace_memory(
    run: Callable[[], object], before: Iterable[Tensor] = (), place: Callable[[], str] = str
) -> MemoryTrace:
    """The events of one call of `run` on the CPU, repeatable to the byte.

    Each storage counts once, however many tensors view it. What an operator allocates and frees inside its kernel is
    not seen. Where gradients meet, backward adds them out of place while it is being watched, so there the peak can
    lie one gradient above that of an unwatched run. Tensors without a storage (sparse ones) raise NotImplementedError.

    `before`: tensors that exist, in the order of their making, whether `run` uses them or not: a network's parameters,
    its input. What else existed is found where it is used. `place`: says where the run is just then.
    """
    _watch_once()
    ledger = _Ledger(before, place)
    with no_garbage_collection(), ledger:
        run()
    return MemoryTrace(dict(ledger.existing), tuple(ledger.events))


@cache
def _watch_once() -> None:
    """What torch loads when it is first watched keeps its callers' tensors alive: here it has none."""
    with _Ledger((), str):
        torch.zeros(1).add(1)


@contextmanager
def no_garbage_collection() -> Iterator[None]:
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

    def __init__(self, before: Iterable[Tensor], place: Callable[[], str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.existing: dict[int, int] = {}
        self.events: list[MemoryEvent] = []
        self._operator, self._place = "", place
        self._entries: dict[int, _Entry] = {}
        self._storages = 0
        self._whole: set[Any] = set()
        self._enter(list(before), existed=True)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func not in self._whole:
            with self:
                # In inference mode composite operators arrive whole: their parts allocate too.
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
            self._whole.add(func)
        # An operator's unknown inputs were there before the run, except that `torch.tensor` makes its tensor
        # unseen and then hands it to `lift_fresh`.
        if func is not torch.ops.aten.lift_fresh.default:
            self._enter((args, kwargs), existed=True)
        self._operator = str(func.overloadpacket)
        result = func(*args, **kwargs)
        self._enter(result, existed=False)
        return result

    def _enter(self, tree: Any, *, existed: bool) -> None:
        for tensor in _tensors(tree):
            # Weights that a library has packed have no storage; they are there before the run.
            if not tensor.is_mkldnn:
                self._update(tensor.untyped_storage(), existed)

    def _update(self, storage: torch.UntypedStorage, existed: bool) -> None:
        key, size = id(storage), storage.nbytes()
        if key not in self._entries:
            self._entries[key] = self._entry(storage, size if existed else 0)
        entry = self._entries[key]
        if size != entry.bytes:
            self._happened(entry, size)

    def _entry(self, storage: torch.UntypedStorage, existing: int) -> _Entry:
        """The entry of a storage that is seen for the first time; storages are numbered as they are seen."""
        number, self._storages = self._storages, self._storages + 1
        if existing:
            self.existing[number] = existing
        key = id(storage)
        return _Entry(weakref.ref(storage, lambda _: self._freed(key)), number, existing)

    def _freed(self, key: int) -> None:
        entry = self._entries.pop(key)
        if entry.bytes:
            self._happened(entry, 0)

    def _happened(self, entry: _Entry, size: int) -> None:
        entry.bytes = size
        self.events.append(MemoryEvent(self._operator, entry.number, size, self._place()))


def _tensors(tree: Any) -> Iterator[Tensor]:
    """The tensors of an operator's arguments or results, in lists and dicts at most: torch's own walk, which knows
    any container, takes several times as long."""
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, tuple | list):
        for part in tree:
            yield from _tensors(part)
    elif isinstance(tree, dict):
        yield from _tensors(tuple(tree.values()))


@dataclass
class _Entry:
    """One storage, its number, and the bytes that it has now (it may be resized)."""

    alive: weakref.ref[torch.UntypedStorage]
    number: int
    bytes: int
