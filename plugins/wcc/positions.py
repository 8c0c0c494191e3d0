"""Which positions of the transformed plane are kept, and what it costs to say so.

`joint` is the paper's. The others are controls: `channel` chooses for each channel alone, `low` keeps the coarsest
coefficients and `random` any, both the same for every image, so that nothing has to be stored.
"""

from __future__ import annotations

import torch
from torch import Tensor

from actbench.codec import Field, unsigned
from actbench_plugins.wcc.transforms import Transform

SELECTIONS = ("joint", "channel", "low", "random")
STATIC = ("low", "random")


def choose(selection: str, coefficients: Tensor, count: int, transform: Transform) -> Tensor:
    """The positions kept: (batch, C, positions) → (batch, groups, count) int64, ascending; one group, or one a channel.

    `joint`: the positions with the largest `Σ_channels y²`, over all sub-bands and levels together, one set a sample,
    shared by all channels (Finder et al., section 3).
    """
    if selection in STATIC:
        fixed = static_positions(selection, transform, count).to(coefficients.device)
        return fixed.expand(len(coefficients), 1, -1)
    return numbers(marked(selection, coefficients, count), count)


def masked(selection: str, coefficients: Tensor, count: int, transform: Transform) -> Tensor:
    """Marks the positions that `choose` keeps: (batch, C, positions) → (batch or 1, groups, positions) bool."""
    if selection in STATIC:
        kept = torch.zeros(1, 1, transform.positions, dtype=torch.bool, device=coefficients.device)
        return kept.index_fill(2, static_positions(selection, transform, count).to(kept.device), True)
    return marked(selection, coefficients, count)


def marked(selection: str, coefficients: Tensor, count: int) -> Tensor:
    """Marks the positions that an image's own coefficients choose: (batch, C, positions) → (batch, groups, positions)
    bool."""
    energy = energies(coefficients) if selection == "joint" else coefficients.detach().float().square()
    return largest(energy, count)


def energies(coefficients: Tensor) -> Tensor:
    """`Σ_channels y²` in fp32: (batch, C, positions) → (batch, 1, positions).

    Half of the channels is added to the other half until one is left: a position has the same sum to the bit beside
    whatever others it is computed, which a reduction's loops do not promise.
    """
    values = coefficients.detach().float()
    if torch.compiler.is_exporting():
        return _added_up(values.square())
    half = -(-values.shape[1] // 2)
    energy = values[:, :half].square()
    for place in range(half, values.shape[1]):
        energy[:, place - half].add_(values[:, place].square())
    while energy.shape[1] > 1:
        energy, others = energy.chunk(2, dim=1)
        energy.narrow(1, 0, others.shape[1]).add_(others)
    return energy.clone()  # one channel alone, not in the memory of all


def _added_up(squares: Tensor) -> Tensor:
    """The same sums in the same order, in a form that can be recorded: nothing is written in place."""
    while squares.shape[1] > 1:
        half, others = squares.chunk(2, dim=1)
        count = others.shape[1]
        squares = torch.cat([half[:, :count] + others, half[:, count:]], 1)
    return squares


def largest(energy: Tensor, count: int) -> Tensor:
    """Marks the `count` largest along the last dimension, or all where they are fewer, of equal ones the first:
    (…, positions) → bool. What is not a number counts as infinite."""
    if count >= energy.shape[-1]:
        return torch.ones_like(energy, dtype=torch.bool)
    energy = energy.nan_to_num(torch.inf, torch.inf)
    least = energy.kthvalue(energy.shape[-1] - count + 1, dim=-1, keepdim=True).values
    above, equal = energy > least, energy == least
    return above | (equal & (equal.cumsum(-1) <= count - above.sum(-1, keepdim=True)))


def numbers(marked: Tensor, count: int) -> Tensor:
    """The positions that are marked, `count` in each group: (batch, groups, positions) → (batch, groups, count) int64,
    ascending."""
    return marked.nonzero()[:, 2].reshape(*marked.shape[:2], count)


def static_positions(selection: str, transform: Transform, count: int) -> Tensor:
    """Positions (count,), ascending: the coarsest, or random ones, the same always."""
    order = transform.coarsest_first() if selection == "low" else _shuffled(transform.positions)
    return order[:count].sort().values


def _shuffled(positions: int) -> Tensor:
    return torch.randperm(positions, generator=torch.Generator().manual_seed(0))


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
    return numbers(values, count)
