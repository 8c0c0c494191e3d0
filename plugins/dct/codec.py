"""The codes of a transformed map: low frequencies over groups of channels, quantised about zero, zero-value coding."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from typing_extensions import override

from actbench.codec.bit_strings import Stream, code_type, zero_value_decode, zero_value_encode, zero_value_lengths
from actbench.codec.quantizers import round_straight_through
from actbench.codec.rate_control import Rung
from actbench.feature_map import FeatureMap
from actbench.info import OptionValue
from actbench_plugins.dct import transform

_CANDIDATES = 40
"""Steps that are compared for a quantiser."""


class CenteredQuantizer(nn.Module):
    """Rounds to `q = round(y / step)` in `width` bits, so that zero has a code of its own: from `−2^(width−1)` to
    `2^(width−1) − 1` (two's complement), or from 0 to `2^width − 1` for values that are not negative. The step can be
    learned."""

    def __init__(self, width: int, step: float, *, nonnegative: bool) -> None:
        super().__init__()
        self.width = width
        self.nonnegative = nonnegative
        self.step = nn.Parameter(torch.tensor(step))

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

    @torch.no_grad()
    def squared_error(self, values: Tensor) -> float:
        """The squared error on some values, `‖q·step − values‖²`."""
        return float((self._rounded(values) * self.step.float()).sub_(values).square_().sum())

    @torch.no_grad()
    def encode(self, values: Tensor) -> Tensor:
        """Values → unsigned codes: of q its `width` low bits."""
        return (self._rounded(values).int() & ((1 << self.width) - 1)).to(code_type(self.width))

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """Unsigned codes → the values `q·step` in fp32."""
        q = codes.int()
        if not self.nonnegative:
            q = q - ((q >> (self.width - 1)) << self.width)
        return q * self.step.float()

    def forward(self, values: Tensor) -> Tensor:
        """The values as they are decoded: decode(encode(values))."""
        return self.decode(self.encode(values))

    def straight_through(self, values: Tensor) -> Tensor:
        """The values (batch, …) as they are decoded, with gradients straight through the rounding: values that are
        clipped have none, and that of the step is `q − y/step`, or q where y is clipped, divided by the square root of
        an image's values times the largest q (LSQ, Esser et al., ICLR 2020, arXiv 1902.08153)."""
        low, high = self._ends()
        step = _scaled_gradient(self.step.float(), 1 / math.sqrt(max(1, values[:1].numel()) * high))
        return round_straight_through((values / step).clamp(low, high)) * step

    def _rounded(self, values: Tensor) -> Tensor:
        """The integers q, as floating-point numbers."""
        return (values / self.step.float()).round_().clamp_(*self._ends())

    def _ends(self) -> tuple[int, int]:
        """The least and the largest q."""
        low = 0 if self.nonnegative else -(1 << (self.width - 1))
        return low, low + (1 << self.width) - 1


def _scaled_gradient(x: Tensor, scale: float) -> Tensor:
    """The same values, with their gradient multiplied by `scale`."""
    constant = x.detach()
    return (x - constant) * scale + constant


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
        return self._values(self.quantizer.decode(codes).unflatten(1, shape)[:, :, : len(self.matrix)])

    @override
    def straight_through(self, x: Tensor) -> Tensor:
        return self._values(self.quantizer.straight_through(self._coefficients(x)))

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
        codes = self.quantizer.encode(self._coefficients(x))
        dropped = self.coded[1] - codes.shape[2]
        return torch.nn.functional.pad(codes, (0, 0, 0, dropped)).flatten(1)

    def _coefficients(self, x: Tensor) -> Tensor:
        """The kept coefficients (batch, groups, k, positions)."""
        x = x.float() if self.order is None else x.float()[:, self.order]
        return transform.forward(x.flatten(2), self.matrix.float())

    def _values(self, coefficients: Tensor) -> Tensor:
        """The map (batch, C, height, W) that decoded coefficients stand for."""
        x = transform.inverse(coefficients, self.matrix.float())
        x = x if self.order is None else x[:, self.order.argsort()]
        x = x.relu() if self.nonnegative else x
        rows: Tensor = x.unflatten(2, (-1, self.columns))
        return rows.to(self.matrix.dtype)
