"""Codecs whose codes have no gradient: it passes straight through them."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor
from typing_extensions import override

from actbench.codec.payload import Payload, floating
from actbench.codec.rows import RowCodec


class StraightThroughCodec(RowCodec):
    """A codec that says how a map becomes codes and these a map again, in rows that stand for themselves. While
    gradients of a map are wanted, the payload has in place of codes the values that they stand for (field `values`),
    with the gradient of the identity."""

    @abstractmethod
    def encode_codes(self, x: Tensor) -> Payload:
        """Encodes a map (batch, C, H, W), without gradients."""

    @abstractmethod
    def decode_codes(self, payload: Payload) -> Tensor:
        """Decodes what `encode_codes` stored → (batch, C, H, W)."""

    @override
    def encode(self, x: Tensor) -> Payload:
        if torch.is_grad_enabled() and x.requires_grad:
            values = self.decode_codes(self.encode_codes(x.detach()))
            return Payload(values=floating(values + (x - x.detach())))
        return self.encode_codes(x)

    @override
    def decode(self, payload: Payload) -> Tensor:
        return payload["values"] if "values" in payload else self.decode_codes(payload)
