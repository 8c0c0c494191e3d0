"""Quantisers in a program that is taken away: their numbers fixed, and either plain arithmetic or one operator each,
which whoever translates the program finds again."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from typing_extensions import override

from actbench.codec.quantizers import UniformQuantizer


class FrozenQuantizer(UniformQuantizer):
    """A quantiser that learns no more: `low` and `distance`, between neighbouring codes, are tables, () or (C,).

    With `marked` both directions are operators, `actbench::to_codes` and `actbench::to_values`; else they are what
    these compute, so that the program needs nothing but torch.
    """

    base: Tensor
    distance: Tensor

    def __init__(self, quantizer: UniformQuantizer, *, marked: bool) -> None:
        super().__init__(quantizer.width, 0.0, 1.0, nonnegative=quantizer.nonnegative)
        del self.low, self.high
        self.register_buffer("low", quantizer.low.detach().clone())
        self.register_buffer("high", torch.maximum(quantizer.low, quantizer.high).detach().clone())
        self.register_buffer("distance", quantizer.step.clone())
        operators: Any = torch.ops.actbench
        self._encode = operators.to_codes if marked else _to_codes
        self._decode = operators.to_values if marked else _to_values

    @override
    def encode(self, x: Tensor) -> Tensor:
        return cast(Tensor, self._encode(x, self.low, self.distance, self.width))

    @override
    def decode(self, codes: Tensor) -> Tensor:
        return cast(Tensor, self._decode(codes, self.low, self.distance, self.width))


def freeze_quantizers(module: nn.Module, *, marked: bool) -> None:
    """Fixes all uniform quantisers of a module, in place. Those of a class derived from them compute what they like,
    and stay."""
    for part in list(module.modules()):
        for name, child in list(part.named_children()):
            if type(child) is UniformQuantizer:
                setattr(part, name, FrozenQuantizer(child, marked=marked))


def _beside(x: Tensor, ends: Tensor) -> Tensor:
    return ends.reshape(-1, *[1] * (x.dim() - 2)) if ends.dim() else ends


def _to_codes(x: Tensor, low: Tensor, step: Tensor, width: int) -> Tensor:
    codes = ((x - _beside(x, low)) / _beside(x, step)).round()
    return codes.clamp(0, (1 << width) - 1)


def _to_values(codes: Tensor, low: Tensor, step: Tensor, width: int) -> Tensor:
    return codes * _beside(codes, step) + _beside(codes, low)


_OPERATORS = torch.library.Library("actbench", "DEF")  # lives as long as the operators
for _name, _compute in (("to_codes", _to_codes), ("to_values", _to_values)):
    _OPERATORS.define(f"{_name}(Tensor x, Tensor low, Tensor step, int width) -> Tensor")
    _OPERATORS.impl(_name, _compute, "CPU")
    _OPERATORS.impl(_name, lambda x, low, step, width: torch.empty_like(x), "Meta")
