"""Where ProChan starts: channels selected, and the expansion that reconstructs the others with least squared error."""

from __future__ import annotations

import torch
from torch import Tensor

_RIDGE = 1e-9


def select_channels(gram: Tensor, count: int) -> Tensor:
    """Indices (count,) of the channels whose span leaves the least energy of the others, greedily.

    Each step takes the channel j that explains most of the residual Gram matrix R, `Σ_i R[i,j]² / R[j,j]`, and removes
    what it explains: `R ← R − R[:,j] R[j,:] / R[j,j]` (a Cholesky factorisation with this pivot). `gram`: (C, C).
    """
    residual = gram.clone()
    chosen: list[int] = []
    floor = float(gram.diagonal().sum()) * 1e-12 + 1e-300
    for _ in range(count):
        diagonal = residual.diagonal()
        gain = residual.square().sum(0) / diagonal.clamp_min(floor)
        gain = torch.where(diagonal > floor, gain, diagonal)
        gain[chosen] = -torch.inf
        pick = int(gain.argmax())
        chosen.append(pick)
        if float(diagonal[pick]) > floor:
            residual = residual - torch.outer(residual[:, pick], residual[pick]) / diagonal[pick]
    return torch.tensor(sorted(chosen))


def least_squares_expansion(target: Tensor, stored: Tensor) -> Tensor:
    """E (C, k) with the least ‖target − E·stored‖²; `target` (C, positions), `stored` (k, positions), fp64."""
    gram = stored @ stored.T
    ridge = _RIDGE * gram.diagonal().mean().clamp_min(1e-30)
    gram.diagonal().add_(ridge)
    return torch.linalg.solve(gram, stored @ target.T).T
