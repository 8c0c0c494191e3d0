"""The start of ProChan's projections."""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
from torch import Tensor

from actbench.codec import MapStatistics

STARTS = ("selection", "pca", "orthonormal", "default")


def projections(start: str, stats: MapStatistics, importance: Tensor, ranks: Collection[int]) -> dict[int, Tensor]:
    """The projection P (rank, C) fp64 of each rank. `selection` commutes with the nonlinearity; the others are for
    comparison: principal components of the tensor before it, random orthonormal rows, and what PyTorch gives a linear
    layer."""
    channels = len(importance)
    if start == "default":
        return {rank: default_weights(rank, channels) for rank in ranks}
    if start == "selection":
        order = selection_order(stats.after.gram, importance, max(ranks))
        identity = torch.eye(channels, dtype=torch.float64)
        return {rank: identity[sorted(order[:rank])] for rank in ranks}
    rows = _components(stats) if start == "pca" else _orthonormal(channels)
    return {rank: rows[:rank] for rank in ranks}


def _components(stats: MapStatistics) -> Tensor:
    components: Tensor = torch.linalg.eigh(stats.before.covariance).eigenvectors
    return components.flip(1).T.contiguous()


def _orthonormal(channels: int) -> Tensor:
    random = torch.randn(channels, channels, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows: Tensor = torch.linalg.qr(random).Q
    return rows


def default_weights(rows: int, columns: int) -> Tensor:
    """The start of `nn.Linear`, from a seed of its own: (rows, columns) fp64, uniform within ±1/√columns."""
    generator = torch.Generator().manual_seed(rows)
    return (2 * torch.rand(rows, columns, generator=generator, dtype=torch.float64) - 1) / math.sqrt(columns)


def selection_order(gram: Tensor, importance: Tensor, count: int) -> list[int]:
    """The channels whose span leaves the least error, chosen greedily: `count` indices in the order of the choice, so
    that the first of them are the choice of fewer.

    With R the Gram matrix of what the chosen channels do not explain, each step takes the channel j that lowers
    tr(M R) most, `R[j,:] M R[:,j] / R[j,j]`, and removes what it explains: `R ← R − R[:,j] R[j,:] / R[j,j]`, a Cholesky
    factorisation with this pivot. `gram`, `importance` (M): (C, C).
    """
    residual, weighted = gram.clone(), importance @ gram  # R and M R
    chosen: list[int] = []
    floor = float(gram.diagonal().sum()) * 1e-12 + 1e-300
    for _ in range(count):
        energy = residual.diagonal()
        gain = (residual * weighted).sum(0) / energy.clamp_min(floor)
        gain = torch.where(energy > floor, gain, energy)
        gain[chosen] = -torch.inf
        pick = int(gain.argmax())
        chosen.append(pick)
        if float(energy[pick]) > floor:
            column, row = residual[:, pick].clone(), residual[pick] / energy[pick]
            residual = residual - torch.outer(column, row)
            weighted = weighted - torch.outer(importance @ column, row)
    return chosen
