"""Bits of the payloads that layers save, step by step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from actbench.codec.payload import Payload
from actbench.training.layers import SavedInput


class PayloadCount:
    """Counts the bits of a step's payloads. `largest`: of the step that has had the most."""

    def __init__(self) -> None:
        self.largest = 0
        self._step = 0

    def add(self, payload: Payload) -> None:
        """Adds a payload of the step that is running."""
        self._step += int(payload.bits_per_image().sum())

    def end_step(self) -> None:
        """Ends a step."""
        self.largest = max(self.largest, self._step)
        self._step = 0


@contextmanager
def counted_payloads(model: nn.Module) -> Iterator[PayloadCount]:
    """Counts, inside this context, every payload that a layer of the model saves; who trains it says when a step
    ends."""
    count = PayloadCount()
    inputs = [module for module in model.modules() if isinstance(module, SavedInput)]
    previous = [saved.tell for saved in inputs]
    for saved in inputs:
        saved.tell = count.add
    try:
        yield count
    finally:
        for saved, restored in zip(inputs, previous, strict=True):
            saved.tell = restored
