"""CSC, compressed sparse columns with relative indices: each non-zero value with the zeros before it."""

from __future__ import annotations

import torch
from torch import Tensor

from actbench.codec.bit_strings import Stream, code_type, from_bits, segment_sums, to_bits, true_positions
from actbench_plugins.coding.coder import Coder, running_sums
from actbench_plugins.coding.gaps import filled, find_gaps, zeros_until

INDEX_BITS = 4
_SPAN = 1 << INDEX_BITS
"""Positions that one entry can cover."""


class SparseColumn(Coder):
    """Sparse columns of `(4 + width)·entries` bits. An entry is the number of zeros before a value, 0 to 15, and the
    value. Where 16 zeros or more stand before a non-zero value, an entry (15, 0) covers 16 of them; the zeros behind
    the last non-zero value need no entry (Han et al., arXiv 1602.01528; each image is one column)."""

    def write(self, codes: Tensor, width: int) -> Stream:
        gaps = find_gaps(codes)
        behind_last = torch.zeros_like(gaps.values, dtype=torch.bool)
        behind_last[gaps.ends] = True
        inner, counts = true_positions(~behind_last), gaps.counts - 1
        zeros, values = gaps.zeros.index_select(0, inner), gaps.values.index_select(0, inner)
        fillers = zeros // _SPAN
        entries = filled(((zeros % _SPAN) << width) | values.int(), fillers, (_SPAN - 1) << width)
        bits = to_bits(entries, INDEX_BITS + width)
        return Stream(bits.flatten(), (counts + segment_sums(fillers, counts)) * (INDEX_BITS + width))

    def counted_lengths(self, codes: Tensor, width: int) -> Tensor:
        zeros = zeros_until(codes)
        count = codes.shape[1]
        before_last = torch.arange(count, device=codes.device) < count - 1 - zeros[:, -1:]
        fillers = (zeros > 0) & (zeros % _SPAN == 0) & before_last
        return ((codes != 0) | fillers).sum(1) * (INDEX_BITS + width)

    def read(self, stream: Stream, count: int, width: int) -> Tensor:
        size = INDEX_BITS + width
        entries, entry_counts = from_bits(stream.bits.reshape(-1, size), size).long(), stream.lengths // size
        images = len(entry_counts)
        codes = torch.zeros(images * count, dtype=code_type(width), device=entries.device)
        first = count * torch.arange(images, device=entries.device).repeat_interleave(entry_counts)
        positions = first + running_sums((entries >> width) + 1, entry_counts) - 1
        codes.scatter_(0, positions, (entries & ((1 << width) - 1)).to(codes.dtype))
        return codes.reshape(images, count)
