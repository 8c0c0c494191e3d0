"""The orthonormal DCT-II over groups of channels, and orders of channels that make it useful."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def basis(size: int) -> Tensor:
    """Matrix D (size, size), fp32: `D[k, n] = √(2/size)·cos(π(2n + 1)k / (2·size))`, the first row divided by √2."""
    index = torch.arange(size, dtype=torch.float64)
    matrix = math.sqrt(2 / size) * torch.cos(math.pi * (2 * index + 1) * index[:, None] / (2 * size))
    matrix[0] /= math.sqrt(2)
    return matrix.float()


def group_size(channels: int, most: int) -> int:
    """The largest divisor of `channels` that is at most `most`; all channels for 0."""
    return channels if most == 0 else max(size for size in range(1, most + 1) if channels % size == 0)


def forward(x: Tensor, matrix: Tensor) -> Tensor:
    """The transform: x (batch, C, positions), `matrix` (k, B) → coefficients (batch, C/B, k, positions)."""
    coefficients: Tensor = matrix @ x.unflatten(1, (-1, matrix.shape[1]))
    return coefficients


def inverse(coefficients: Tensor, matrix: Tensor) -> Tensor:
    """The inverse: coefficients (batch, C/B, k, positions) → (batch, C, positions), those beyond k being zero."""
    return (matrix.T @ coefficients).flatten(1, 2)


def order_by_correlation(covariance: Tensor) -> Tensor:
    """A path through the channels (C,) (ours): the one with the largest sum of correlations first, then each time the
    channel with the largest correlation to the last one. `covariance` (C, C)."""
    deviation = covariance.diagonal().clamp_min(1e-12).sqrt()
    correlation = covariance / torch.outer(deviation, deviation)
    path = [int(correlation.sum(0).argmax())]
    while len(path) < len(covariance):
        to_last = correlation[path[-1]].clone()
        to_last[path] = -torch.inf
        path.append(int(to_last.argmax()))
    return torch.tensor(path)
