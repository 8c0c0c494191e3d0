"""Blocks of 4×4 positions of some neighbouring channels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

SIDE = 4
"""Rows and columns of a block."""


def counts(channels: int, height: int, width: int, depth: int) -> tuple[int, int, int]:
    """How many blocks of so many channels a map has: along channels, rows and columns."""
    return -(-channels // depth), -(-height // SIDE), -(-width // SIDE)


def divide(x: Tensor, depth: int) -> Tensor:
    """Divides maps (batch, C, H, W) into blocks → (batch, groups, rows, columns, depth·16); those at the edges are
    filled up with the last channel, row or column."""
    filled = functional.pad(x, (0, -x.shape[3] % SIDE, 0, -x.shape[2] % SIDE), mode="replicate")
    missing = -x.shape[1] % depth
    if missing:
        filled = torch.cat([filled, filled[:, -1:].expand(-1, missing, -1, -1)], 1)
    parts = filled.unflatten(3, (-1, SIDE)).unflatten(2, (-1, SIDE)).unflatten(1, (-1, depth))
    blocks: Tensor = parts.permute(0, 1, 3, 5, 2, 4, 6).flatten(4)
    return blocks


def join(blocks: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Joins blocks to maps of `shape` (C, H, W): `divide` backwards."""
    parts = blocks.unflatten(4, (-1, SIDE, SIDE)).permute(0, 1, 4, 2, 5, 3, 6)
    channels, height, width = shape
    whole: Tensor = parts.flatten(5, 6).flatten(3, 4).flatten(1, 2)
    return whole[:, :channels, :height, :width]
