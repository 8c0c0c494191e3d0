"""Ledger of what a forward pass really keeps for the backward pass: unique storages, by the module that saved them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.multiprocessing.reductions import StorageWeakRef

from actbench.training.layers import HookedLayer


class SavedLedger:
    """Storages that autograd saved, each counted once however many operators saved a view of it. Parameters and
    buffers, which the model keeps anyway, do not count.

    A storage is known by its own identity, not by its address, which another tensor gets once the first is freed.
    """

    def __init__(self, model: nn.Module) -> None:
        # Kept alive: a buffer that is replaced on the way would leave its address to what is saved.
        self._model = [tensor.untyped_storage() for tensor in [*model.parameters(), *model.buffers()]]
        self._model_keys = {storage._cdata for storage in self._model}
        self._entries: dict[int, tuple[StorageWeakRef, int, str]] = {}
        self._running: list[str] = []

    def saw(self, tensor: Tensor) -> None:
        """Enters a tensor that was saved."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        known = self._entries.get(key)
        if key not in self._model_keys and (known is None or known[0].expired()):
            owner = self._running[-1] if self._running else ""
            self._entries[key] = (StorageWeakRef(storage), storage.nbytes(), owner)

    def bytes_by_module(self) -> dict[str, int]:
        """Bytes that are alive now, by the name of the innermost module that saved them first."""
        total: dict[str, int] = defaultdict(int)
        for reference, size, owner in self._entries.values():
            if not reference.expired():
                total[owner] += size
        return dict(total)

    @property
    def bytes(self) -> int:
        """All bytes that are alive now."""
        return sum(self.bytes_by_module().values())

    def enter(self, name: str) -> None:
        """Notes that a module begins."""
        self._running.append(name)

    def leave(self) -> None:
        """Notes that the module that began last ends."""
        self._running.pop()


@contextmanager
def saved_bytes(model: nn.Module, *others: nn.Module) -> Iterator[SavedLedger]:
    """Watches what is saved while `model` runs inside; ask the ledger while what it computed is still alive. `others`:
    what computes in its layers' place and is no module of it."""
    ledger = SavedLedger(model)

    def pack(tensor: Tensor) -> Tensor:
        ledger.saw(tensor)
        return tensor.detach()

    hooks = []
    hooked = [module for root in (model, *others) for module in root.modules() if isinstance(module, HookedLayer)]
    previous = [layer.tell for layer in hooked]
    for layer in hooked:
        layer.tell = ledger.saw
    for name, module in model.named_modules():
        hooks.append(module.register_forward_pre_hook(lambda _, __, name=name: ledger.enter(name)))
        hooks.append(module.register_forward_hook(lambda _, __, ___: ledger.leave()))
    try:
        with saved_tensors_hooks(pack, lambda tensor: tensor):
            yield ledger
    finally:
        for hook in hooks:
            hook.remove()
        for layer, tell in zip(hooked, previous, strict=True):
            layer.tell = tell
