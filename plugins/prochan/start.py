"""The start of ProChan's projections."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from actbench.codec import MapStatistics

STARTS = ("selection", "pca", "orthonormal", "default")


def projection(start: str, stats: MapStatistics, importance: Tensor, rank: int) -> Tensor:
    """The projection P (rank, C) fp64. `selection` commutes with the nonlinearity; the others are for comparison:
    principal components of the tensor before it, random orthonormal rows, and what PyTorch gives a linear layer."""
    channels = len(importance)
    if start == "selection":
        return torch.eye(channels, dtype=torch.float64)[select_channels(stats.after.gram, importance, rank)]
    if start == "pca":
        components: Tensor = torch.linalg.eigh(stats.before.covariance).eigenvectors
        return components.flip(1)[:, :rank].T.contiguous()
    random = torch.randn(channels, channels, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    if start == "orthonormal":
        rows: Tensor = torch.linalg.qr(random).Q
        return rows[:rank]
    return default_weights(rank, channels)


def default_weights(rows: int, columns: int) -> Tensor:
    """The start of `nn.Linear`, from a seed of its own: (rows, columns) fp64, uniform within ±1/√columns."""
    generator = torch.Generator().manual_seed(rows)
    return (2 * torch.rand(rows, columns, generator=generator, dtype=torch.float64) - 1) / math.sqrt(columns)


def select_channels(gram: Tensor, importance: Tensor, count: int) -> Tensor:
    """The channels whose span leaves the least error, chosen greedily: indices (count,), ascending.

    With R the Gram matrix of what the chosen channels do not explain, each step takes the channel j that lowers
    tr(M R) most, `R[j,:] M R[:,j] / R[j,j]`, and removes what it explains: `R ← R − R[:,j] R[j,:] / R[j,j]`, a Cholesky
    factorisation with this pivot. `gram`, `importance` (M): (C, C).
    """
    residual = gram.clone()
    chosen: list[int] = []
    floor = float(gram.diagonal().sum()) * 1e-12 + 1e-300
    for _ in range(count):
        energy = residual.diagonal()
        gain = (residual * (importance @ residual)).sum(0) / energy.clamp_min(floor)
        gain = torch.where(energy > floor, gain, energy)
        gain[chosen] = -torch.inf
        pick = int(gain.argmax())
        chosen.append(pick)
        if float(energy[pick]) > floor:
            residual = residual - torch.outer(residual[:, pick], residual[pick]) / energy[pick]
    return torch.tensor(sorted(chosen))
