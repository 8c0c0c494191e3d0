"""Runs of zeros between the non-zero values of each image: what run lengths and sparse columns store."""

from __future__ import annotations

from dataclasses import dataclass

import numpy
import torch
from torch import Tensor
from torch.nn import functional

from actbench.codec.bit_strings import true_positions


@dataclass(frozen=True)
class Gaps:
    """Each non-zero code of all images, in order, and how many `zeros` stand before it, (non-zeros + batch,). The last
    entry of an image is for the zeros behind its last such code, and has the value 0.

    `counts` (batch,): entries of each image; `ends` (batch,): where its last one is.
    """

    values: Tensor
    zeros: Tensor
    counts: Tensor
    ends: Tensor


def find_gaps(codes: Tensor) -> Gaps:
    """The runs of zeros in codes (batch, n)."""
    closed = functional.pad(codes, (0, 1))
    marked = closed != 0
    marked[:, -1] = True
    positions = true_positions(marked)
    # An image's last mark stands right before the next image's first code: gaps need no column numbers.
    zeros = positions.int().diff(prepend=positions.new_full((1,), -1, dtype=torch.int32)).sub_(1)
    counts = marked.count_nonzero(1)
    return Gaps(closed.flatten().index_select(0, positions), zeros, counts, counts.cumsum(0) - 1)


def zeros_until(codes: Tensor) -> Tensor:
    """How many zeros each code of (batch, n) ends, itself included: 0 where it is none."""
    positions = torch.arange(codes.shape[1], device=codes.device)
    return positions - torch.where(codes != 0, positions, -1).cummax(1).values


def filled(values: Tensor, before: Tensor, filling: int) -> Tensor:
    """The values, in order, with as many of `filling` before each as `before` says."""
    positions = before.cumsum(0).add_(torch.arange(len(before), dtype=torch.int32, device=before.device))
    return values.new_full((len(before) + int(before.sum()),), filling).scatter_(0, positions, values)


def repeated(values: Tensor, counts: Tensor) -> Tensor:
    """Each value as often as its count says. On a CPU NumPy is faster than torch."""
    if values.device.type == "cpu":
        return torch.from_numpy(numpy.repeat(values.numpy(), counts.numpy()))
    return values.repeat_interleave(counts)
