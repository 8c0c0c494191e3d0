"""Which positions of the transformed plane are kept: chosen jointly over channels, and stored as side information."""

from __future__ import annotations

import torch
from torch import Tensor

from actbench.payload import Field, unsigned


def joint_top(coefficients: Tensor, count: int) -> Tensor:
    """(batch, C, positions) → (batch, count) int64, ascending: the positions with the largest `Σ_channels y²`, over
    all sub-bands and levels together; one set a sample, shared by all channels (Finder et al., section 3)."""
    energy = coefficients.detach().float().square().sum(1)
    return energy.topk(count, dim=1, sorted=False).indices.sort(1).values


def index_bits(positions: int) -> int:
    """Bits of one position's number."""
    return max(1, (positions - 1).bit_length())


def uses_bitmap(count: int, positions: int) -> bool:
    """Whether a bit for every position is fewer bits than a list of the kept ones. Known before any image is seen."""
    return positions <= count * index_bits(positions)


def side_bits(count: int, positions: int) -> int:
    """Bits an image that say which positions are kept."""
    return positions if uses_bitmap(count, positions) else count * index_bits(positions)


def to_field(index: Tensor, positions: int) -> Field:
    """(batch, count) ascending positions → the field that stores them."""
    if not uses_bitmap(index.shape[1], positions):
        return unsigned(index, index_bits(positions), side=True)
    bitmap = torch.zeros(len(index), positions, dtype=torch.uint8, device=index.device)
    return unsigned(bitmap.scatter_(1, index, 1), 1, side=True)


def from_field(values: Tensor, count: int, positions: int) -> Tensor:
    """What `to_field` stored → (batch, count) ascending positions."""
    if not uses_bitmap(count, positions):
        return values.long()
    return values.nonzero()[:, 1].reshape(len(values), count)
