"""Packed payloads: what is in memory between two layers."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from actbench.codec.payload import Payload
from actbench.training.compact import Form, compact, expand


@dataclass(frozen=True)
class PackedPayload:
    """A payload in as few bytes as it claims bits, each field in whole bytes."""

    tensors: list[Tensor]
    form: Form

    @classmethod
    def of(cls, payload: Payload) -> PackedPayload:
        """Packs a payload."""
        return cls(*compact(payload))

    def payload(self) -> Payload:
        """Makes the payload again."""
        return expand(self.tensors, self.form)

    @property
    def bytes(self) -> int:
        """Bytes of all its tensors."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.tensors)
