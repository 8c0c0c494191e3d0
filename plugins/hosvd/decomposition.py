"""Truncated higher-order SVD of batches of tensors, from eigenvectors of Gram matrices.

Of a tensor X with modes of sizes n_1, n_2, …, the unfolding X_(i) has a row for each index of mode i. With the leading
left singular vectors U_i (n_i, K_i) of X_(i),

    core = X ×_1 U_1ᵀ ×_2 U_2ᵀ …        X ≈ core ×_1 U_1 ×_2 U_2 …

All factors come from X itself (De Lathauwer, De Moor, Vandewalle, SIAM J. Matrix Anal. 2000), not each from what the
one before it leaves. A first dimension, the batch, stands before the modes everywhere, but for `hosvd_epsilon`.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from actbench.codec.quantizers import at_least_fp32

_TINY = 1e-30


@dataclass(frozen=True)
class Decomposition:
    """A `core` (batch, K_1, K_2, …), and an orthonormal factor (batch, n_i, K_i) for each mode."""

    core: Tensor
    factors: tuple[Tensor, ...]

    def restore(self) -> Tensor:
        """The tensor (batch, n_1, n_2, …) again."""
        x = self.core
        for mode, factor in enumerate(self.factors):
            x = mode_product(x, factor, mode)
        return x


def unfold(x: Tensor, mode: int) -> Tensor:
    """The unfolding along a mode: (batch, n_1, n_2, …) → (batch, n_mode, product of the other sizes)."""
    return x.movedim(mode + 1, 1).flatten(2)


def mode_product(x: Tensor, matrix: Tensor, mode: int) -> Tensor:
    """The product `x ×_mode matrix`: (batch, …, n_mode, …) and (batch, k, n_mode) → (batch, …, k, …)."""
    moved = x.movedim(mode + 1, 1)
    product = matrix @ moved.flatten(2)
    return product.reshape(*product.shape[:2], *moved.shape[2:]).movedim(1, mode + 1)


def gram_eigenvectors(unfolding: Tensor) -> tuple[Tensor, Tensor]:
    """The squared singular values (batch, r), descending, and left singular vectors (batch, n, r) of matrices
    (batch, n, m), r = min(n, m).

    They come from the smaller of the two Gram matrices. XXᵀ has them as eigenvectors; with XᵀX = VΛVᵀ, a QR
    decomposition makes X·V orthonormal. Each vector's sign makes its entry of largest magnitude positive.
    """
    rows, columns = unfolding.shape[1:]
    tall = rows > columns
    gram = unfolding.mT @ unfolding if tall else unfolding @ unfolding.mT
    values, vectors = _eigenvectors(gram)
    values, vectors = values.flip(1).clamp_min(0), vectors.flip(2)
    if tall:
        vectors = torch.linalg.qr(unfolding @ vectors).Q
    largest = vectors.abs().argmax(1, keepdim=True)
    return values, vectors * torch.where(vectors.gather(1, largest) < 0, -1, 1)


def _eigenvectors(gram: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues, ascending, and eigenvectors, in fp64 where the solver does not converge in fp32, which it says, or
    not: as with many eigenvalues that are all but equal."""
    try:
        values, vectors = torch.linalg.eigh(gram)
        if torch.isfinite(vectors).all():
            return values, vectors
    except RuntimeError:
        pass
    values, vectors = torch.linalg.eigh(gram.double())
    return values.to(gram.dtype), vectors.to(gram.dtype)


@torch.no_grad()
def hosvd_factors(x: Tensor, ranks: Sequence[int | None]) -> list[Tensor | None]:
    """The factors (batch, n_i, K_i) for ranks K_i, constant for autograd; None where the rank is None: mode left alone.
    Ranks above `min(n_i, n_1·n_2 … / n_i)` have no more vectors than that."""
    relative = scaled(x.detach())
    return [
        None if rank is None else gram_eigenvectors(unfold(relative, mode))[1][:, :, :rank]
        for mode, rank in enumerate(ranks)
    ]


def hosvd(x: Tensor, ranks: Sequence[int]) -> Decomposition:
    """The decomposition truncated to `ranks`. Gradients pass to the core: the factors count as constants."""
    exact = at_least_fp32(x)
    factors = tuple(factor for factor in hosvd_factors(exact, ranks) if factor is not None)
    return Decomposition(project(exact, factors), factors)


def hosvd_epsilon(x: Tensor, epsilon: float) -> Decomposition:
    """Decomposes one tensor of any number of modes, (B, C, H, W) for example: `core` (K_1, K_2, …) and `factors` (n_i,
    K_i), K_i the smallest rank whose share of mode i's variance is at least ε (Nguyen et al., arXiv 2411.06346).

    The squared error is at most `modes·(1 − ε)` of the tensor's. An all-zero tensor has ranks 1.
    """
    modes = modes_of(x)
    return _truncated(x, modes, ranks_by_share(modes, epsilon))


def hosvd_within(x: Tensor, most: int) -> Decomposition:
    """Decomposes as `hosvd_epsilon` does with the largest ε for which core and factors have at most `most` values; with
    ranks 1 if none has."""
    modes = modes_of(x)

    def fits(ranks: Sequence[int]) -> bool:
        return math.prod(ranks) + sum(size * rank for size, rank in zip(x.shape, ranks, strict=True)) <= most

    return _truncated(x, modes, ranks_within(modes, fits))


Modes = Sequence[tuple[Tensor, Tensor]]
"""The squared singular values (1, r), descending, and vectors (1, n_i, r) of each mode of one tensor."""


@torch.no_grad()
def modes_of(x: Tensor) -> Modes:
    """Decomposes every unfolding of a tensor (n_1, n_2, …)."""
    relative = scaled(at_least_fp32(x.detach())[None])
    return [gram_eigenvectors(unfold(relative, mode)) for mode in range(x.dim())]


def ranks_by_share(modes: Modes, epsilon: float) -> list[int]:
    """The smallest rank of each mode that has a share ε of its variance. All reach the host in one transfer."""
    missing = [(values.cumsum(1) < epsilon * values.sum(1)).count_nonzero() for values, _ in modes]
    return [count + 1 for count in torch.stack(missing).tolist()]


def ranks_within(modes: Modes, fits: Callable[[Sequence[int]], bool]) -> list[int]:
    """The rank of each mode at the largest ε whose ranks fit, where no lower one's do not; ranks 1 where none fits."""
    shares = [(values.cumsum(1) / values.sum(1).clamp_min(_TINY))[0].tolist() for values, _ in modes]
    # An ε between two of the shares has the ranks of the upper one.
    thresholds = sorted({share for mode in shares for share in mode})

    def ranks(epsilon: float) -> list[int]:
        return [min(len(mode), bisect_left(mode, epsilon) + 1) for mode in shares]

    fitting = bisect_left(thresholds, True, key=lambda epsilon: not fits(ranks(epsilon)))
    return ranks(thresholds[fitting - 1]) if fitting else [1] * len(shares)


def leading(modes: Modes, ranks: Sequence[int]) -> tuple[Tensor, ...]:
    """The leading vectors of each mode, (1, n_i, K_i)."""
    return tuple(vectors[:, :, :rank] for (_, vectors), rank in zip(modes, ranks, strict=True))


def _truncated(x: Tensor, modes: Modes, ranks: Sequence[int]) -> Decomposition:
    factors = leading(modes, ranks)
    return Decomposition(project(at_least_fp32(x)[None], factors)[0], tuple(factor[0] for factor in factors))


def project(
    x: Tensor, factors: Sequence[Tensor], inverse: Callable[[Tensor], Tensor] = lambda factor: factor.mT
) -> Tensor:
    """The core (batch, K_1, …) of x (batch, n_1, …), by the modes that shrink most first: that is the least work.
    `inverse`: the left inverse of a factor, its transpose where it is orthonormal."""
    for mode in sorted(range(len(factors)), key=lambda mode: factors[mode].shape[2] / factors[mode].shape[1]):
        x = mode_product(x, inverse(factors[mode]), mode)
    return x


def scaled(x: Tensor) -> Tensor:
    """Each tensor of a batch divided by its largest magnitude, so that squares neither overflow nor vanish."""
    flat = x.flatten(1)
    largest = torch.maximum(flat.amax(1), -flat.amin(1)).clamp_min(_TINY)
    return x / largest.reshape(-1, *[1] * (x.dim() - 1))
