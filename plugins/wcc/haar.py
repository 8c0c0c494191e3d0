"""The orthonormal two-dimensional Haar transform, in place: each square's coefficients stand where its values stood.

For one level, on the four values of each 2×2 square,

    a b   →   vertical  low              low      = (a + b + c + d) / 2    horizontal = (a + b − c − d) / 2
    c d       diagonal  horizontal       vertical = (a − b + c − d) / 2    diagonal   = (a − b − c + d) / 2

and the next level transforms the low values, in their places. The transform is orthogonal: energy stays, the inverse is
the transpose. Any order of the coefficients would do for a codec; in this one nothing reaches past 2^levels rows, and a
map's coefficients, flat (batch, C, H·W), are those of its rows one below the other.

Rows are added and subtracted. Two neighbouring columns are a complex number, p + iq, and their sum and difference are
one product: (p + iq)·(1 + i)/2 = (p − q)/2 + i(p + q)/2. Half of a number is exact: a level rounds twice, and in no
other way wherever a value lies.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from actbench.codec.quantizers import at_least_fp32

_VALUES_AT_ONCE = 1 << 18
"""Values that stay in a processor's caches with all that is made of them."""


def usable_levels(height: int, width: int, levels: int) -> int:
    """How many levels a map has: at most `levels`, and no more than reduce its smaller side to one value."""
    return min(levels, max(0, (min(height, width) - 1).bit_length()))


def padded_size(height: int, width: int, levels: int) -> tuple[int, int]:
    """Height and width, rounded up to multiples of 2^levels."""
    multiple = 1 << levels
    return -(-height // multiple) * multiple, -(-width // multiple) * multiple


def coarsest_first(height: int, width: int, levels: int) -> Tensor:
    """The positions (H·W,) of a map's coefficients: low ones, then level by level, the finest last."""
    fineness = torch.empty(height, width)
    squares = fineness
    for level in range(levels):
        squares.fill_(-level)
        squares = squares[0::2, 1::2]
    squares.fill_(-levels)
    return fineness.flatten().argsort(stable=True)


def forward(x: Tensor, levels: int) -> Tensor:
    """The transform: (batch, C, H, W), both sides multiples of 2^levels → flat coefficients (batch, C, H·W)."""
    if torch.compiler.is_exporting():
        return _analysed(x, levels).flatten(2)
    if not x.requires_grad:  # an autograd function takes as long as a small map
        return _in_blocks(_analyse, x, levels).flatten(2)
    plane: Tensor = _Forward.apply(x, levels)  # type: ignore[no-untyped-call]
    return plane.flatten(2)


def inverse(coefficients: Tensor, width: int, levels: int, *, overwrite: bool = False) -> Tensor:
    """The inverse: flat coefficients (batch, C, H·W) of rows of this width W → (batch, C, H, W). With `overwrite`
    contiguous coefficients may be used up."""
    plane: Tensor = coefficients.unflatten(2, (-1, width))
    if torch.compiler.is_exporting():
        return _synthesised(plane, levels)
    if not plane.requires_grad:
        return _in_blocks(_synthesise if overwrite else _synthesise_copy, plane, levels)
    x: Tensor = _Inverse.apply(plane, levels)  # type: ignore[no-untyped-call]
    return x


class _Forward(torch.autograd.Function):
    """The transform of (batch, C, H, W), whose gradient is its inverse, as that of any orthogonal one."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, levels: int) -> Tensor:
        ctx.levels = levels
        return _in_blocks(_analyse, x, levels)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return inverse(gradients[0].flatten(2), gradients[0].shape[3], ctx.levels), None


class _Inverse(torch.autograd.Function):
    """The inverse on (batch, C, H, W), whose gradient is the transform."""

    @staticmethod
    def forward(ctx: Any, plane: Tensor, levels: int) -> Tensor:
        ctx.levels = levels
        return _in_blocks(_synthesise_copy, plane, levels)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return forward(gradients[0], ctx.levels).view_as(gradients[0]), None


def _in_blocks(transform: Callable[[Tensor, int, Tensor], None], x: Tensor, levels: int) -> Tensor:
    """Transforms (batch, C, H, W) some rows at a time, as many as stay in caches, in fp32 at least."""
    rows = at_least_fp32(x).flatten(0, 2)
    result = torch.empty_like(rows, memory_format=torch.contiguous_format)
    count = max(1, _VALUES_AT_ONCE // rows.shape[1] >> levels) << levels
    for block, out in zip(rows.split(count), result.split(count), strict=True):
        transform(block, levels, out)
    return result.view(x.shape).to(x.dtype)


def _analyse(x: Tensor, levels: int, out: Tensor) -> None:
    """Rows (n, W) → coefficients `out` (n, W), contiguous."""
    if levels == 0:
        out.copy_(x)
        return
    top, bottom = x[0::2], x[1::2]
    torch.add(top, bottom, out=out[0::2])
    torch.sub(top, bottom, out=out[1::2])
    _columns(out).mul_(0.5 + 0.5j)
    if levels > 1:
        low = out[0::2, 1::2]
        coarser = low.new_empty(low.shape)
        _analyse(low, levels - 1, coarser)
        low.copy_(coarser)


def _synthesise(plane: Tensor, levels: int, out: Tensor) -> None:
    """Coefficients (n, W), contiguous, which are overwritten → rows `out` (n, W)."""
    if levels == 0:
        out.copy_(plane)
        return
    if levels > 1:
        low = plane[0::2, 1::2]
        _synthesise(low.clone(memory_format=torch.contiguous_format), levels - 1, low)
    _columns(plane).mul_(0.5 - 0.5j)
    sums, differences = plane[0::2], plane[1::2]
    torch.add(sums, differences, out=out[0::2])
    torch.sub(sums, differences, out=out[1::2])


def _synthesise_copy(coefficients: Tensor, levels: int, out: Tensor) -> None:
    _synthesise(coefficients.clone(memory_format=torch.contiguous_format), levels, out)


def _analysed(x: Tensor, levels: int) -> Tensor:
    """What `_analyse` computes of (batch, C, H, W), in a form that can be recorded: nothing is written in place."""
    if levels == 0:
        return x
    top, bottom = x[:, :, 0::2], x[:, :, 1::2]
    sums, differences = ((rows[..., 0::2] * 0.5, rows[..., 1::2] * 0.5) for rows in (top + bottom, top - bottom))
    low = _analysed(sums[0] + sums[1], levels - 1)
    return _in_squares(sums[0] - sums[1], low, differences[0] - differences[1], differences[0] + differences[1])


def _synthesised(plane: Tensor, levels: int) -> Tensor:
    """What `_synthesise` computes of (batch, C, H, W), in a form that can be recorded."""
    if levels == 0:
        return plane
    sums, differences = (plane[:, :, start::2] * 0.5 for start in (0, 1))
    low = _synthesised(plane[:, :, 0::2, 1::2], levels - 1) * 0.5
    vertical, diagonal, horizontal = sums[..., 0::2], differences[..., 0::2], differences[..., 1::2]
    left, right = vertical + low, low - vertical
    rows = diagonal + horizontal, horizontal - diagonal
    return _in_squares(left + rows[0], right + rows[1], left - rows[0], right - rows[1])


def _in_squares(first: Tensor, second: Tensor, third: Tensor, fourth: Tensor) -> Tensor:
    """Puts four values (batch, C, H/2, W/2) into each square, row by row → (batch, C, H, W)."""
    rows = [torch.stack(pair, 4).flatten(3) for pair in ((first, second), (third, fourth))]
    return torch.stack(rows, 3).flatten(2, 3)


def _columns(rows: Tensor) -> Tensor:
    """A contiguous tensor's pairs of neighbouring columns, as complex numbers: (n, W) → a view (n, W/2)."""
    return rows.view(rows.dtype.to_complex())


def pad(x: Tensor, levels: int) -> Tensor:
    """A map (batch, C, H, W) with the last row and column repeated up to multiples of 2^levels."""
    height, width = padded_size(x.shape[2], x.shape[3], levels)
    if (height, width) == x.shape[2:]:
        return x
    # In this order: `functional.pad` takes the last dimension, the width, first.
    padded: Tensor = functional.pad(x, (0, width - x.shape[3], 0, height - x.shape[2]), mode="replicate")
    return padded
