"""The subspace of a sample of maps: vectors of each mode, and which ranks keep most.

With the leading eigenvectors U_i (n_i, K_i) of the Gram matrices of a sample's unfoldings along channels, rows and
columns, all images taken together, a map X has the core

    S = X ×_1 U_1ᵀ ×_2 U_2ᵀ ×_3 U_3ᵀ        X ≈ S ×_1 U_1 ×_2 U_2 ×_3 U_3

This is the truncated HOSVD of the sample (De Lathauwer, De Moor, Vandewalle, SIAM J. Matrix Anal. 2000) with the mode
of the images left alone, as the next images are others.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Ranks = tuple[int, int, int]
"""How many vectors channels, rows and columns keep."""


def mode_vectors(x: Tensor) -> list[Tensor]:
    """All vectors (n_i, n_i) of channels, rows and columns of a sample x (images, C, H, W), those that keep most first;
    computed in fp64."""
    exact = x.double() / x.abs().amax().clamp_min(1e-30)
    unfoldings = (exact.movedim(mode, 0).flatten(1) for mode in (1, 2, 3))
    return [torch.linalg.eigh(unfolding @ unfolding.mT).eigenvectors.flip(1).to(x.dtype) for unfolding in unfoldings]


def projected(x: Tensor, factors: Sequence[Tensor]) -> Tensor:
    """The cores (batch, K_1, K_2, K_3) of x (batch, C, H, W), by factors (n_i, K_i)."""
    x = torch.einsum("nchw,ca->nahw", x, factors[0])
    x = torch.einsum("nahw,wd->nahd", x, factors[2])
    return torch.einsum("nahd,hb->nabd", x, factors[1])


def planes(core: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The maps (batch, K_1, H, W) of cores (batch, K_1, K_2, K_3): the channels' vectors are still to be applied."""
    return torch.einsum("nahd,wd->nahw", torch.einsum("nabd,hb->nahd", core, rows), columns)


def best_ranks(energy: Tensor, most: int) -> Ranks:
    """The ranks that keep the most of the squares `energy` (C, H, W) of full cores with at most `most` values,
    `K_1·K_2·K_3`; the search is over all. `most` is at least 1."""
    sizes = [torch.arange(1, size + 1) for size in energy.shape]
    values = sizes[0][:, None, None] * sizes[1][:, None] * sizes[2]
    kept = energy.double().cumsum(0).cumsum(1).cumsum(2).masked_fill(values > most, -1)
    channels, rows, columns = (int(index) + 1 for index in torch.unravel_index(kept.argmax(), kept.shape))
    return channels, rows, columns
