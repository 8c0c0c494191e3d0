"""Where ProChan starts: channels selected, and the expansion that reconstructs the others with least squared error."""

from __future__ import annotations

import torch
from torch import Tensor

_RIDGE = 1e-9


def select_channels(gram: Tensor, importance: Tensor, count: int) -> Tensor:
    """Indices (count,), ascending, of the channels whose span leaves the least error, chosen greedily.

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


def least_squares_expansion(target: Tensor, stored: Tensor) -> Tensor:
    """E (C, k) with the least ‖target − E·stored‖²; `target` (C, positions), `stored` (k, positions), fp64."""
    gram = stored @ stored.T
    ridge = _RIDGE * gram.diagonal().mean().clamp_min(1e-30)
    gram.diagonal().add_(ridge)
    expansion: Tensor = torch.linalg.solve(gram, stored @ target.T).T
    return expansion
