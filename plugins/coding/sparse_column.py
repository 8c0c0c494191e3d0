"""CSC, compressed sparse columns with relative indices: each non-zero value with the zeros before it."""

from __future__ import annotations

import torch
from torch import Tensor

from actbench.codec.bit_strings import Stream, code_type, from_bits, segment_sums, to_bits, true_positions
from actbench_plugins.coding.coder import Coder
from actbench_plugins.coding.gaps import filled, find_gaps, repeated, zeros_until

INDEX_BITS = 4
_SPAN = 1 << INDEX_BITS
"""Positions that one entry can cover."""


class SparseColumn(Coder):
    """Sparse columns of `(4 + width)·entries` bits. An entry is the number of zeros before a value, 0 to 15, and the
    value. Where 16 zeros or more stand before a non-zero value, an entry (15, 0) covers 16 of them; the zeros behind
    the last non-zero value need no entry (Han et al., arXiv 1602.01528; each image is one column)."""

    def write(self, codes: Tensor, width: int) -> Stream:
        entries, counts = _entries(codes, width)
        return Stream(to_bits(entries, INDEX_BITS + width).flatten(), counts * (INDEX_BITS + width))

    def counted_lengths(self, codes: Tensor, width: int) -> Tensor:
        zeros = zeros_until(codes)
        count = codes.shape[1]
        before_last = torch.arange(count, device=codes.device) < count - 1 - zeros[:, -1:]
        fillers = (zeros > 0) & (zeros % _SPAN == 0) & before_last
        return ((codes != 0) | fillers).sum(1) * (INDEX_BITS + width)

    def read(self, stream: Stream, count: int, width: int) -> Tensor:
        size = INDEX_BITS + width
        entries, entry_counts = from_bits(stream.bits.reshape(-1, size), size), stream.lengths // size
        codes = torch.zeros(len(entry_counts) * count, dtype=code_type(width), device=entries.device)
        positions = _positions((entries >> width).add_(1), entry_counts, count)
        codes.scatter_(0, positions, entries.bitwise_and_((1 << width) - 1).to(codes.dtype))
        return codes.reshape(len(entry_counts), count)


def _entries(codes: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """The entries of codes (batch, n), int32, and how many each image has."""
    gaps = find_gaps(codes)
    inner, counts = _all_but(gaps.ends, len(gaps.values)), gaps.counts - 1
    zeros, values = gaps.zeros.index_select(0, inner), gaps.values.index_select(0, inner)
    fillers = zeros // _SPAN
    entries = zeros.bitwise_and_(_SPAN - 1).bitwise_left_shift_(width).bitwise_or_(values)
    return filled(entries, fillers, (_SPAN - 1) << width), counts + segment_sums(fillers, counts)


def _all_but(left_out: Tensor, total: int) -> Tensor:
    """The positions below `total` but for some."""
    kept = torch.ones(total, dtype=torch.bool, device=left_out.device)
    kept[left_out] = False
    return true_positions(kept)


def _positions(steps: Tensor, counts: Tensor, count: int) -> Tensor:
    """Where steps, `counts` (images,) of them an image, lead from before the first of each image's `count` codes."""
    taken = segment_sums(steps, counts)
    first = count * torch.arange(len(counts), device=counts.device) - 1
    return steps.cumsum(0).add_(repeated(first + taken - taken.cumsum(0), counts))
