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

import torch
from torch import Tensor
from torch.nn import functional


def usable_levels(height: int, width: int, levels: int) -> int:
    """At most `levels`, and no more than it takes to reduce the smaller side to one value."""
    return min(levels, max(0, (min(height, width) - 1).bit_length()))


def padded_size(height: int, width: int, levels: int) -> tuple[int, int]:
    """Height and width, rounded up to multiples of 2^levels."""
    multiple = 1 << levels
    return -(-height // multiple) * multiple, -(-width // multiple) * multiple


def forward(x: Tensor, levels: int) -> Tensor:
    """(batch, C, H, W), both sides multiples of 2^levels → flat coefficients (batch, C, H·W)."""
    bands: list[Tensor] = []
    for _ in range(levels):
        top, bottom = x.unflatten(2, (-1, 2)).unbind(3)
        total, difference = top + bottom, top - bottom
        (left, right), (down, across) = _columns(total), _columns(difference)
        bands = [(down + across) / 2, (left - right) / 2, (down - across) / 2, *bands]
        x = (left + right) / 2
    return torch.cat([band.flatten(2) for band in [x, *bands]], dim=2)


def inverse(coefficients: Tensor, height: int, width: int, levels: int) -> Tensor:
    """Flat coefficients (batch, C, H·W) of a map of height × width → (batch, C, H, W)."""
    height, width = height >> levels, width >> levels
    position = height * width
    x: Tensor = coefficients[:, :, :position].unflatten(2, (height, width))
    for _ in range(levels):
        end = position + 3 * height * width
        down, across, diagonal = coefficients[:, :, position:end].unflatten(2, (3, height, width)).unbind(2)
        total, difference = _interleave(x + across, x - across), _interleave(down + diagonal, down - diagonal)
        x = torch.stack([total + difference, total - difference], dim=3).flatten(2, 3) / 2
        position, height, width = end, 2 * height, 2 * width
    return x


def pad(x: Tensor, levels: int) -> Tensor:
    """(batch, C, H, W) with the last row and column repeated up to multiples of 2^levels."""
    height, width = padded_size(x.shape[2], x.shape[3], levels)
    # In this order: `functional.pad` takes the last dimension, the width, first.
    padded: Tensor = functional.pad(x, (0, width - x.shape[3], 0, height - x.shape[2]), mode="replicate")
    return padded


def _columns(x: Tensor) -> tuple[Tensor, Tensor]:
    left, right = x.unflatten(3, (-1, 2)).unbind(4)
    return left, right


def _interleave(left: Tensor, right: Tensor) -> Tensor:
    return torch.stack([left, right], dim=4).flatten(3, 4)
