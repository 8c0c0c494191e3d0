"""A rotation to principal components, in an order in which all groups carry as much (Ge et al., CVPR 2013)."""

from __future__ import annotations

import torch
from torch import Tensor

from actbench.codec import Codec
from actbench.codec.linear_ends import LinearEnds
from actbench.codec.modules import pointwise


class RotatedCodec(LinearEnds):
    """Stores `z = R x` of all channels, R (C, C) orthogonal, and decodes `x̂ = Rᵀ ẑ`."""

    def __init__(self, rotation: Tensor, core: Codec) -> None:
        super().__init__(core, pointwise(rotation.T), pointwise(rotation))


def balanced_components(covariance: Tensor, block: int) -> Tensor:
    """The eigenvectors of a covariance (C, C), as rows (C, C), so that the variances of each group of `block`
    neighbours have about the same product: from the largest on, each goes to the group with the least product that
    has room."""
    values, vectors = torch.linalg.eigh(covariance.double())
    # In octaves above the smallest: otherwise a variance below 1 would make a group look emptier than it was.
    octaves = (values / values[-1].clamp_min(1e-30)).clamp_min(1e-12).log2()
    octaves -= octaves[0].clone()
    groups = [list[int]() for _ in range(0, len(values), block)]
    room = [min(block, len(values) - first) for first in range(0, len(values), block)]
    for component in reversed(range(len(values))):
        free = [group for group, most in zip(groups, room, strict=True) if len(group) < most]
        min(free, key=lambda group: float(octaves[group].sum())).append(component)
    rows: Tensor = vectors.T[[component for group in groups for component in group]].float()
    return rows
