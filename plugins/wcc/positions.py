"""Which positions of the transformed plane are kept, and what it costs to say so.

`joint` is the paper's. The others are controls: `channel` chooses for each channel alone, `low` keeps the coarsest
coefficients and `random` any, both the same for every image, so that nothing has to be stored.
"""

from __future__ import annotations

import torch
from torch import Tensor

from actbench.codec import Field, unsigned

SELECTIONS = ("joint", "channel", "low", "random")
STATIC = ("low", "random")


def choose(selection: str, coefficients: Tensor, count: int) -> Tensor:
    """The positions kept: (batch, C, positions) → (batch, groups, count) int64, ascending; one group, or one a channel.

    `joint`: the positions with the largest `Σ_channels y²`, over all sub-bands and levels together, one set a sample,
    shared by all channels (Finder et al., section 3).
    """
    if selection in STATIC:
        fixed = static_positions(selection, coefficients.shape[2], count).to(coefficients.device)
        return fixed.expand(len(coefficients), 1, -1)
    energy = coefficients.detach().float().square()
    if selection == "joint":
        energy = energy.sum(1, keepdim=True)
    return energy.topk(count, dim=2, sorted=False).indices.sort(2).values


def static_positions(selection: str, positions: int, count: int) -> Tensor:
    """Positions (count,), ascending: the first, which are the coarsest, or random ones, the same always."""
    if selection == "low":
        return torch.arange(count)
    return torch.randperm(positions, generator=torch.Generator().manual_seed(0))[:count].sort().values


def index_bits(positions: int) -> int:
    """Bits of one position's number."""
    return max(1, (positions - 1).bit_length())


def uses_bitmap(count: int, positions: int) -> bool:
    """Whether a bit for every position is fewer bits than a list of the kept ones. Known before any image is seen."""
    return positions <= count * index_bits(positions)


def side_bits(selection: str, channels: int, count: int, positions: int) -> int:
    """Bits an image that say which positions are kept."""
    if selection in STATIC:
        return 0
    groups = channels if selection == "channel" else 1
    return groups * (positions if uses_bitmap(count, positions) else count * index_bits(positions))


def to_field(index: Tensor, positions: int) -> Field:
    """The field that stores ascending positions (batch, groups, count)."""
    if not uses_bitmap(index.shape[2], positions):
        return unsigned(index, index_bits(positions), side=True)
    bitmap = torch.zeros(*index.shape[:2], positions, dtype=torch.uint8, device=index.device)
    return unsigned(bitmap.scatter_(2, index, 1), 1, side=True)


def from_field(values: Tensor, count: int, positions: int) -> Tensor:
    """The ascending positions (batch, groups, count) that `to_field` stored."""
    if not uses_bitmap(count, positions):
        return values.long()
    return values.nonzero()[:, 2].reshape(*values.shape[:2], count)
