"""Runs of zeros between the non-zero values of each image: what CSC stores."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from actbench.rate_control import true_positions


@dataclass(frozen=True)
class Gaps:
    """`values` (non-zeros,): the non-zero codes of all images, in order. `zeros` (non-zeros + batch,): how many zeros
    stand before each of them, and, as the last of each image, behind them all. `counts` (batch,): entries in `zeros`
    of each image; `final` (non-zeros + batch,): whether an entry is an image's last."""

    values: Tensor
    zeros: Tensor
    counts: Tensor
    final: Tensor


def find_gaps(codes: Tensor) -> Gaps:
    """The runs of zeros in codes (batch, n)."""
    batch, count = codes.shape
    marked = torch.ones(batch, count + 1, dtype=torch.bool, device=codes.device)
    marked[:, :count] = codes != 0
    places = true_positions(marked)
    column = places % (count + 1)
    final = column == count
    previous = torch.where(final.roll(1), -1, column.roll(1)) if len(column) else column
    values = codes.flatten().index_select(0, true_positions(marked[:, :count]))
    return Gaps(values, column - previous - 1, marked.count_nonzero(1), final)


def offsets_within(repeats: Tensor) -> Tensor:
    """0, 1, …, r − 1 for each r of `repeats`, one after the other."""
    starts = repeats.cumsum(0) - repeats
    total = int(repeats.sum())
    return torch.arange(total, device=repeats.device) - starts.repeat_interleave(repeats)
