"""The codes of a transformed map: low frequencies over groups of channels, quantised about zero, zero-value coding."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from typing_extensions import override

from actbench.codec.bit_strings import Stream, code_type, zero_value_decode, zero_value_encode, zero_value_lengths
from actbench.codec.rate_control import Rung
from actbench.feature_map import FeatureMap
from actbench.info import OptionValue
from actbench_plugins.dct import transform

_CANDIDATES = 40
"""Steps that are compared for a quantiser."""


class CenteredQuantizer(nn.Module):
    """Rounds to `q = round(y / step)` in `width` bits, so that zero has a code of its own: from `−2^(width−1)` to
    `2^(width−1) − 1` (two's complement), or from 0 to `2^width − 1` for values that are not negative."""

    step: Tensor

    def __init__(self, width: int, step: float, *, nonnegative: bool) -> None:
        super().__init__()
        self.width = width
        self.nonnegative = nonnegative
        self.register_buffer("step", torch.tensor(step))

    @classmethod
    def calibrated(cls, values: Tensor, width: int, *, nonnegative: bool) -> CenteredQuantizer:
        """The quantiser whose step has the least squared error on some values, by a search over fractions of the
        widest."""
        high = (1 << width) - 1 if nonnegative else max(1, (1 << (width - 1)) - 1)
        widest = max(float(values.abs().max()), 1e-12) / high
        candidates = (
            cls(width, widest * number / _CANDIDATES, nonnegative=nonnegative) for number in range(1, _CANDIDATES + 1)
        )
        return min(candidates, key=lambda quantizer: quantizer.squared_error(values))

    def squared_error(self, values: Tensor) -> float:
        """The squared error on some values, `‖q·step − values‖²`."""
        return float((self._rounded(values) * self.step.float()).sub_(values).square_().sum())

    def encode(self, values: Tensor) -> Tensor:
        """Values → unsigned codes: of q its `width` low bits."""
        return (self._rounded(values).int() & ((1 << self.width) - 1)).to(code_type(self.width))

    def decode(self, codes: Tensor) -> Tensor:
        """Unsigned codes → the values `q·step` in fp32."""
        q = codes.int()
        if not self.nonnegative:
            q = q - ((q >> (self.width - 1)) << self.width)
        return q * self.step.float()

    def forward(self, values: Tensor) -> Tensor:
        """The values as they are decoded: decode(encode(values))."""
        return self.decode(self.encode(values))

    def _rounded(self, values: Tensor) -> Tensor:
        """The integers q, as floating-point numbers."""
        low = 0 if self.nonnegative else -(1 << (self.width - 1))
        return (values / self.step.float()).round_().clamp_(low, low + (1 << self.width) - 1)


class MaskedTransform(Rung):
    """Transforms groups of B channels, `y = D x`, and stores `q = round(y / step)` of the first k of the B rows of D by
    zero-value coding; `x̂ = Dᵀ(q·step)`, with a ReLU for maps that are not negative.

    Bits: `C·k/B·H·W + width·non-zeros`, or with `whole_bitmap` (the literal reading of the paper's abstract)
    `C·H·W + width·non-zeros`. With D = (1), the identity, this is zero-value coding of the map itself.
    """

    matrix: Tensor
    order: Tensor | None

    def __init__(
        self,
        fmap: FeatureMap,
        matrix: Tensor,
        quantizer: CenteredQuantizer,
        *,
        order: Tensor | None = None,
        whole_bitmap: bool = False,
    ) -> None:
        super().__init__()
        self.channels, self.columns = fmap.channels, fmap.width
        self.nonnegative = fmap.nonnegative
        self.quantizer = quantizer
        self.whole_bitmap = whole_bitmap
        self.register_buffer("matrix", matrix)
        self.register_buffer("order", order)

    @property
    def coded(self) -> tuple[int, int]:
        """How many groups there are, and coefficients of each that have a bit in the bit-map."""
        kept, size = self.matrix.shape
        return self.channels // size, size if self.whole_bitmap else kept

    @override
    def encode(self, x: Tensor) -> Stream:
        return zero_value_encode(self._codes(x), self.quantizer.width)

    @override
    def decode(self, stream: Stream, height: int) -> Tensor:
        shape = (*self.coded, height * self.columns)
        codes = zero_value_decode(stream, math.prod(shape), self.quantizer.width)
        coefficients = self.quantizer.decode(codes).unflatten(1, shape)[:, :, : len(self.matrix)]
        x = transform.inverse(coefficients, self.matrix.float())
        x = x if self.order is None else x[:, self.order.argsort()]
        x = x.relu() if self.nonnegative else x
        return x.reshape(*x.shape[:2], height, self.columns).to(self.matrix.dtype)

    @override
    def lengths(self, x: Tensor) -> Tensor:
        return zero_value_lengths(self._codes(x), self.quantizer.width)

    @override
    def describe(self) -> dict[str, OptionValue]:
        kept, size = self.matrix.shape
        return {"bits": self.quantizer.width, "group": size, "kept": kept, "transform": size > 1}

    @torch.no_grad()
    def _codes(self, x: Tensor) -> Tensor:
        """The unsigned codes, (batch, C, height, W) → (batch, values); those that the mask drops are zero."""
        x = x.float() if self.order is None else x.float()[:, self.order]
        codes = self.quantizer.encode(transform.forward(x.flatten(2), self.matrix.float()))
        dropped = self.coded[1] - codes.shape[2]
        return torch.nn.functional.pad(codes, (0, 0, 0, dropped)).flatten(1)
