"""Hadamard matrices over channels, in blocks of powers of two."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def rotation(channels: int, most: int, *, signs: bool) -> Tensor:
    """The orthogonal matrix (C, C), a normalised Hadamard matrix for each block of channels; with `signs` times random
    signs, the same always, so that what all channels have in common, behind a ReLU their mean, does not end up in one.
    `most`: channels of a block; 0 without a limit."""
    matrix: Tensor = torch.block_diag(*(normalised(size) for size in block_sizes(channels, most)))
    if not signs:
        return matrix
    drawn = torch.randint(2, (channels,), generator=torch.Generator().manual_seed(0))
    return matrix.mul_(2 * drawn - 1)


def block_sizes(channels: int, most: int) -> list[int]:
    """Powers of two that add up to so many channels, falling, none above `most`, where that is not 0."""
    sizes: list[int] = []
    while channels:
        largest = 1 << (channels.bit_length() - 1)
        sizes.append(min(largest, most) if most else largest)
        channels -= sizes[-1]
    return sizes


def normalised(size: int) -> Tensor:
    """Sylvester's Hadamard matrix (size, size), a power of two, over √size."""
    matrix = torch.ones(1, 1)
    while len(matrix) < size:
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    return matrix.div_(math.sqrt(size))
