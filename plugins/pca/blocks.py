"""The codec of rotated maps in blocks: the DCT over space, one step for all coefficients, tables by bands."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from actbench.codec.rate_control import GRANULE
from actbench.info import OptionValue
from actbench_plugins.pca.codec import CodedComponents

_ROUNDING = 1 / 3
"""What is added before a magnitude is cut to an integer: with less than 1/2 more coefficients are zero, which costs
fewer bits than the error that it adds is worth."""


class CodedBlocks(CodedComponents):
    """Transforms b×b blocks of each component, `Y = D Z Dᵀ` with the orthonormal DCT-II D, and stores
    `q = sign(y)·⌊|y|/step + 1/3⌋`; `ŷ = sign(q)·(|q| − δ)·step`, with one δ for each table, the least squares on
    calibration images.

    A band is one frequency of one component: C·b² of them are grouped into tables by their deviation. Maps whose sides
    are no multiples of b are filled up with their last row and column. Coefficients are up to b times as large as
    components, and q has log2(b) bits more than the `width` of these.
    """

    shift: Tensor

    def __init__(self, step: float, width: int, sample: Tensor) -> None:
        """Counts the tables from `sample` (images, C, H, W), the components on calibration images."""
        super().__init__(step, width + block_side(*sample.shape[2:]).bit_length() - 1, sample)

    @override
    def calibrate(self, coefficients: Tensor) -> None:
        """Counts the tables, and with them what magnitudes lie below their codes."""
        super().calibrate(coefficients)
        self.register_buffer("shift", self._shifts(coefficients))

    @property
    def side(self) -> int:
        """The side b of blocks."""
        return block_side(self.height, self.columns)

    @override
    def coefficients(self, z: Tensor) -> Tensor:
        rows, columns = (-size % self.side for size in z.shape[2:])
        # In fp64: a product in fp32 rounds otherwise for a batch of another size, and then a code here and there.
        exact = z.double()
        filled = functional.pad(exact, (0, columns, 0, rows), mode="replicate") if rows or columns else exact
        matrix = cosines(self.side).to(z.device)
        across = filled.unflatten(3, (-1, self.side)) @ matrix.T
        both = matrix @ across.flatten(3).unflatten(2, (-1, self.side))
        bands: Tensor = both.unflatten(4, (-1, self.side)).permute(0, 1, 3, 5, 2, 4).flatten(4).flatten(1, 3)
        return bands.float()

    @override
    def components(self, coefficients: Tensor, height: int) -> Tensor:
        side, matrix = self.side, cosines(self.side).to(coefficients)
        blocks = coefficients.unflatten(1, (-1, side, side)).unflatten(4, (-1, self._blocks_across))
        both = blocks.permute(0, 1, 4, 2, 5, 3).flatten(4)
        across = (matrix.T @ both).flatten(2, 3).unflatten(3, (-1, side))
        filled: Tensor = (across @ matrix).flatten(3)
        return filled[:, :, :height, : self.columns]

    @override
    def rounded(self, scaled: Tensor) -> Tensor:
        return scaled.sign() * (scaled.abs() + _ROUNDING).floor()

    @override
    def values(self, codes: Tensor) -> Tensor:
        shift = self.shift.float()[self.tables.group.long(), None]
        return (codes - codes.sign() * shift) * self.step.float()

    @override
    def positions(self, height: int) -> int:
        return -(-height // self.side) * self._blocks_across

    @override
    def straight_through(self, x: Tensor) -> Tensor:
        y, half = self.coefficients(x), 1 << (self.width - 1)
        codes = self.codes(x)
        inside = (codes > -half) & (codes < half - 1)
        decoded: Tensor = _InPlaceOf.apply(y, self.values(codes), inside)  # type: ignore[no-untyped-call]
        return self.components(decoded, x.shape[2])

    @override
    def describe(self) -> dict[str, OptionValue]:
        return super().describe() | {"block": self.side}

    @property
    def _blocks_across(self) -> int:
        return -(-self.columns // self.side)

    def _shifts(self, coefficients: Tensor) -> Tensor:
        """The mean (tables,) of what magnitudes that are not rounded to zero lie below their codes, in steps."""
        scaled = (coefficients / self.step).abs()
        codes = self.rounded(scaled)
        below = torch.where(codes > 0, codes - scaled, 0).sum((0, 2), dtype=torch.float64)
        counted = (codes > 0).sum((0, 2)).double()
        sums = torch.zeros(2, len(self.tables.size), dtype=torch.float64)
        sums.index_add_(1, self.tables.group.long(), torch.stack([below, counted]))
        return (sums[0] / sums[1].clamp_min(1)).float()


class _InPlaceOf(torch.autograd.Function):
    """Gives `values` in the place of x, with the gradient of x where `inside`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, values: Tensor, inside: Tensor) -> Tensor:
        ctx.save_for_backward(inside)
        return values

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (inside,) = ctx.saved_tensors
        return gradients[0] * inside, None, None


def block_side(height: int, width: int) -> int:
    """The side of a map's blocks: the least power of two that the shorter side of the map fits into, and at most the
    rows of a granule."""
    return min(GRANULE, 1 << (min(height, width) - 1).bit_length())


def cosines(size: int) -> Tensor:
    """Matrix D (size, size), fp64, of the orthonormal DCT-II: `D[u, i] = √(2/size)·cos(π(2i + 1)u / (2·size))`, the
    first row divided by √2."""
    index = torch.arange(size, dtype=torch.float64)
    matrix = math.sqrt(2 / size) * torch.cos(math.pi * (2 * index + 1) * index[:, None] / (2 * size))
    matrix[0] /= math.sqrt(2)
    return matrix
