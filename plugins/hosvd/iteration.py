"""HOOI, higher-order orthogonal iteration: the factors of a truncated HOSVD, improved by alternating least squares.

Each factor in turn becomes the leading left singular vectors of what the others leave of the tensor,

    U_i ← leading K_i of (X ×_{j≠i} U_jᵀ)_(i)

which is the best one beside them, so that the error never grows (De Lathauwer, De Moor, Vandewalle, *On the best rank-1
and rank-(R1, …, RN) approximation of higher-order tensors*, SIAM J. Matrix Anal. 2000). The end is a local optimum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from actbench_plugins.hosvd.decomposition import gram_eigenvectors, hosvd_factors, mode_product, scaled, unfold

SWEEPS = 5
"""How often each factor is improved."""

Factors = list[Tensor | None]


@torch.no_grad()
def iterated_factors(x: Tensor, ranks: Sequence[int | None], sweeps: int) -> Factors:
    """The factors of `hosvd_factors` after so many sweeps over the modes, constant for autograd. An image for which
    rounding made them worse keeps those of the start; one truncated mode alone is at its best there."""
    start = hosvd_factors(x, ranks)
    modes = [mode for mode, factor in enumerate(start) if factor is not None]
    if not sweeps or len(modes) < 2:
        return start
    relative, factors = scaled(x.detach()), list(start)
    for mode in modes * sweeps:
        factors[mode] = _improved(relative, factors, mode)
    better = _kept(relative, factors) >= _kept(relative, start)
    return [_chosen(better, *pair) for pair in zip(factors, start, strict=True)]


def sizes_of_eigenproblems(shape: Sequence[int], ranks: Sequence[int | None], sweeps: int) -> list[int]:
    """The sizes of the Gram matrices of which `iterated_factors` finds eigenvectors, for an image of this shape."""
    modes = [mode for mode, rank in enumerate(ranks) if rank is not None]
    reduced = [size if rank is None else rank for size, rank in zip(shape, ranks, strict=True)]
    start = [min(shape[mode], math.prod(shape) // shape[mode]) for mode in modes]
    swept = [min(shape[mode], math.prod(reduced) // reduced[mode]) for mode in modes]
    return start + swept * (sweeps if len(modes) > 1 else 0)


def _improved(x: Tensor, factors: Factors, mode: int) -> Tensor | None:
    factor = factors[mode]
    others = [None if other == mode else kept for other, kept in enumerate(factors)]
    vectors = gram_eigenvectors(unfold(_projected(x, others), mode))[1]
    # What the others leave may have a lower rank than the factor, which then holds all of it as it is.
    return vectors[:, :, : factor.shape[2]] if factor is not None and factor.shape[2] <= vectors.shape[2] else factor


def _projected(x: Tensor, factors: Factors) -> Tensor:
    """The core (batch, K_1, K_2, …) of x (batch, n_1, n_2, …); modes without a factor keep their size."""
    for mode, factor in enumerate(factors):
        x = x if factor is None else mode_product(x, factor.mT, mode)
    return x


def _kept(x: Tensor, factors: Factors) -> Tensor:
    """The energy (batch,) of each core: the error is what it is short of the tensor's."""
    return _projected(x, factors).double().square().flatten(1).sum(1)


def _chosen(better: Tensor, factor: Tensor | None, start: Tensor | None) -> Tensor | None:
    return None if factor is None or start is None else torch.where(better[:, None, None], factor, start)
