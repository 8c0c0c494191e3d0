"""The orthonormal two-dimensional Haar transform, as butterflies on reshaped views over a flat list of bands.

For one level, on the four values of each 2×2 square,

    low        = (a + b + c + d) / 2        a b
    horizontal = (a + b − c − d) / 2        c d
    vertical   = (a − b + c − d) / 2
    diagonal   = (a − b − c + d) / 2

and the next level transforms `low`. The transform is orthogonal: energy stays, the inverse is the transpose. Any order
of the coefficients would do for a codec; here they are flat, (batch, C, H·W), coarsest band first:

    low_L, horizontal_L, vertical_L, diagonal_L, horizontal_{L−1}, …, diagonal_1
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

_VALUES_AT_ONCE = 1 << 20
"""Values that stay in a processor's caches with all that is made of them."""


def usable_levels(height: int, width: int, levels: int) -> int:
    """How many levels a map has: at most `levels`, and no more than reduce its smaller side to one value."""
    return min(levels, max(0, (min(height, width) - 1).bit_length()))


def padded_size(height: int, width: int, levels: int) -> tuple[int, int]:
    """Height and width, rounded up to multiples of 2^levels."""
    multiple = 1 << levels
    return -(-height // multiple) * multiple, -(-width // multiple) * multiple


def forward(x: Tensor, levels: int) -> Tensor:
    """The transform: (batch, C, H, W), both sides multiples of 2^levels → flat coefficients (batch, C, H·W)."""
    coefficients: Tensor = _Forward.apply(x, levels)  # type: ignore[no-untyped-call]
    return coefficients


def inverse(coefficients: Tensor, height: int, width: int, levels: int) -> Tensor:
    """The inverse: flat coefficients (batch, C, H·W) of a map of height × width → (batch, C, H, W)."""
    x: Tensor = _Inverse.apply(coefficients, height, width, levels)  # type: ignore[no-untyped-call]
    return x


class _Forward(torch.autograd.Function):
    """The transform, whose gradient is its inverse, as that of any orthogonal one."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, levels: int) -> Tensor:
        ctx.arguments = (x.shape[2], x.shape[3], levels)
        planes = x.flatten(0, 1)
        coefficients = planes.new_empty(len(planes), x.shape[2] * x.shape[3])
        count = _planes_at_once(planes)
        for chunk, out in zip(planes.split(count), coefficients.split(count), strict=True):
            _analyse(chunk, levels, out)
        result: Tensor = coefficients.unflatten(0, x.shape[:2])
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return inverse(gradients[0], *ctx.arguments), None


class _Inverse(torch.autograd.Function):
    """The inverse, whose gradient is the transform."""

    @staticmethod
    def forward(ctx: Any, coefficients: Tensor, height: int, width: int, levels: int) -> Tensor:
        ctx.levels = levels
        flat = coefficients.flatten(0, 1)
        planes = flat.new_empty(len(flat), height, width)
        count = _planes_at_once(planes)
        for chunk, out in zip(flat.split(count), planes.split(count), strict=True):
            _synthesise(chunk, levels, out)
        result: Tensor = planes.unflatten(0, coefficients.shape[:2])
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        return forward(gradients[0], ctx.levels), None, None, None


def _planes_at_once(planes: Tensor) -> int:
    """How many planes stay in a processor's caches together, one at least."""
    return max(1, _VALUES_AT_ONCE // max(1, planes[0].numel() if len(planes) else 1))


def _analyse(x: Tensor, levels: int, out: Tensor) -> None:
    """Planes (n, H, W) → `out` (n, H·W). Halves come with means, and need no pass of their own."""
    for _ in range(levels):
        mean = torch.lerp(x[:, 0::2], x[:, 1::2], 0.5)
        difference = x[:, 0::2] - mean
        bands = _bands(out, x.shape[1] // 2, x.shape[2] // 2)
        torch.add(difference[:, :, 0::2], difference[:, :, 1::2], out=bands[:, 0])
        torch.sub(mean[:, :, 0::2], mean[:, :, 1::2], out=bands[:, 1])
        torch.sub(difference[:, :, 0::2], difference[:, :, 1::2], out=bands[:, 2])
        x = mean[:, :, 0::2] + mean[:, :, 1::2]
    out[:, : x.shape[1] * x.shape[2]] = x.flatten(1)


def _synthesise(coefficients: Tensor, levels: int, out: Tensor) -> None:
    """Flat coefficients (n, H·W) → `out` (n, H, W)."""
    height, width = out.shape[1] >> levels, out.shape[2] >> levels
    x = coefficients[:, : height * width].unflatten(1, (height, width))
    for _ in range(levels):
        horizontal, vertical, diagonal = _bands(coefficients, height, width).unbind(1)
        total, difference = _interleaved(x, vertical), _interleaved(horizontal, diagonal)
        height, width = 2 * height, 2 * width
        x = out if height == out.shape[1] else out.new_empty(len(out), height, width)
        torch.lerp(total, difference, 0.5, out=x[:, 0::2])
        torch.sub(total, x[:, 0::2], out=x[:, 1::2])
    if not levels:
        out.copy_(x)


def _bands(coefficients: Tensor, height: int, width: int) -> Tensor:
    """A level's horizontal, vertical and diagonal bands, (n, 3, height, width)."""
    size = height * width
    bands: Tensor = coefficients[:, size : 4 * size].unflatten(1, (3, height, width))
    return bands


def _interleaved(a: Tensor, b: Tensor) -> Tensor:
    """Planes of twice the width: a + b in the even columns, a − b in the odd ones."""
    columns = a.new_empty(*a.shape, 2)
    torch.add(a, b, out=columns[..., 0])
    torch.sub(a, b, out=columns[..., 1])
    return columns.flatten(2)


def pad(x: Tensor, levels: int) -> Tensor:
    """A map (batch, C, H, W) with the last row and column repeated up to multiples of 2^levels."""
    height, width = padded_size(x.shape[2], x.shape[3], levels)
    # In this order: `functional.pad` takes the last dimension, the width, first.
    padded: Tensor = functional.pad(x, (0, width - x.shape[3], 0, height - x.shape[2]), mode="replicate")
    return padded
