"""The ranks of least error within a number of stored values: an exact search, on the mean energy of full cores.

The factors are orthonormal, so that truncation to ranks K leaves the energy of the core's first K_1×K_2×K_3 entries:

    error² = Σ x² − Σ_{i ≤ K} core_i²
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from actbench_plugins.hosvd.decomposition import hosvd_factors, mode_product

Ranks = tuple[int | None, int | None, int | None]
"""How many vectors channels, rows and columns keep; None: the mode is left as it is, without a factor."""


def stored_values(shape: Sequence[int], ranks: Ranks) -> int:
    """The number of stored values, `K_1·K_2·K_3 + Σ n_i·K_i`, a mode left alone having K_i = n_i and no factor."""
    core, factors = 1, 0
    for size, rank in zip(shape, ranks, strict=True):
        core *= size if rank is None else rank
        factors += 0 if rank is None else size * rank
    return core + factors


def fewest_values(shape: Sequence[int], modes: Sequence[bool]) -> int:
    """The fewest values that any ranks store. Not those of ranks 1 everywhere: one mode left alone saves its factor."""
    choices = [(1, None) if free else (None,) for free in modes]
    return min(stored_values(shape, ranks) for ranks in itertools.product(*choices))  # type: ignore[arg-type]


@torch.no_grad()
def kept_energy(images: Tensor, modes: Sequence[bool]) -> Tensor:
    """Energies (r_1, r_2, r_3) fp64: entry K − 1 is what ranks K keep of `images` (n, C, H, W), over all of them.
    `modes` are those that may be truncated; r_i is a mode's size, or the most vectors it can have."""
    core = images.float()
    full: list[int | None] = [size if free else None for size, free in zip(core.shape[1:], modes, strict=True)]
    for mode, factor in enumerate(hosvd_factors(core, full)):
        core = core if factor is None else mode_product(core, factor.mT, mode)
    energy = core.double().square().sum(0)
    for mode in range(3):
        energy = energy.cumsum(mode)
    return energy


def best_ranks(shape: tuple[int, int, int], energy: Tensor, most: int, modes: Sequence[bool]) -> Ranks | None:
    """The ranks that keep the most energy with at most `most` stored values, None where not even ranks of 1 fit.

    For every pair (K_2, K_3) of rows and columns, K_1 is the largest that fits,
    `K_1·(K_2·K_3 + C) ≤ most − H·K_2 − W·K_3`, where a mode at its full size has no factor.
    """
    rows, columns = _choices(shape[1], energy.shape[1], modes[1]), _choices(shape[2], energy.shape[2], modes[2])
    area = rows[:, None] * columns
    available = most - _factor_values(rows, shape[1])[:, None] - _factor_values(columns, shape[2])
    partial = (available // (area + shape[0])).clamp(0, min(shape[0] - 1, energy.shape[0]))
    channels = torch.where(available >= shape[0] * area, shape[0], partial)
    index = (_index(channels, energy, 0), _index(rows, energy, 1)[:, None], _index(columns, energy, 2))
    kept = torch.where(channels > 0, energy[index], -1.0)
    best = int(kept.argmax())
    if kept.flatten()[best] < 0:
        return None
    row, column = divmod(best, len(columns))
    chosen = (channels.flatten()[best], rows[row], columns[column])
    return cast(Ranks, tuple(None if rank == size else int(rank) for rank, size in zip(chosen, shape, strict=True)))


def _choices(size: int, most: int, free: bool) -> Tensor:
    """The ranks that a mode may have: 1 … most, and its full size, which needs no factor."""
    if not free:
        return torch.tensor([size])
    return torch.tensor([*range(1, min(most, size - 1) + 1), size])


def _factor_values(ranks: Tensor, size: int) -> Tensor:
    """The number of values of a mode's factor."""
    return torch.where(ranks == size, 0, ranks * size)


def _index(ranks: Tensor, energy: Tensor, mode: int) -> Tensor:
    """The index of a mode's ranks in the table of energies."""
    return (ranks - 1).clamp(0, energy.shape[mode] - 1)
