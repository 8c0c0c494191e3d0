"""The start of the projections: principal components (ours), or PyTorch's default (the paper's)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

Projections = tuple[Tensor, Tensor]
"""The projection V (k, C), and the expansion U (C, k)."""


def principal(gram: Tensor, rank: int) -> Projections:
    """Principal components: `V = Λ^(−1/2) Qᵀ`, `U = Q Λ^(1/2)`, Q (C, k) the leading eigenvectors of the uncentred Gram
    matrix `gram` (C, C).

    `U V = Q Qᵀ` is the linear map of that rank with the least squared error, the sum of the other eigenvalues. Λ gives
    every stored channel the mean square 1, so that one quantiser serves them all.
    """
    values, vectors = torch.linalg.eigh(gram.double())
    basis, energy = vectors.flip(1)[:, :rank], values.flip(0)[:rank]
    scale = energy.clamp_min(float(energy[0].clamp_min(1e-30)) * 1e-12).sqrt()
    return (basis / scale).T.float(), (basis * scale).float()


def default(channels: int, rank: int) -> Projections:
    """The values that `nn.Linear` starts with: uniform in ±1/√(number of inputs)."""
    project, expand = nn.Linear(channels, rank, bias=False), nn.Linear(rank, channels, bias=False)
    return project.weight.detach(), expand.weight.detach()
