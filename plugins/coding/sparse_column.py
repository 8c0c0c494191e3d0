"""CSC, compressed sparse columns with relative indices: each non-zero value with the zeros before it."""

from __future__ import annotations

import torch
from torch import Tensor

from actbench.bit_strings import Stream, code_type, from_bits, segment_sums, to_bits
from actbench_plugins.coding.coder import Coder, running_sums
from actbench_plugins.coding.gaps import find_gaps

INDEX_BITS = 4
_SPAN = 1 << INDEX_BITS


class SparseColumn(Coder):
    """`(4 + width)·entries` bits. An entry is the number of zeros before a value, 0 to 15, and the value. Where 16
    zeros or more stand before a non-zero value, an entry (15, 0) covers 16 of them; the zeros behind the last non-zero
    value need no entry (Han et al., arXiv 1602.01528; each image is one column)."""

    def write(self, codes: Tensor, width: int) -> Stream:
        gaps = find_gaps(codes)
        fillers = gaps.zeros // _SPAN
        fillers[gaps.ends] = 0
        emitted = fillers.long() + 1
        emitted[gaps.ends] = 0
        index = torch.full((int(emitted.sum()),), _SPAN - 1, dtype=torch.int32, device=codes.device)
        value = torch.zeros_like(index)
        written = torch.ones_like(emitted, dtype=torch.bool)
        written[gaps.ends] = False
        last = (emitted.cumsum(0) - 1)[written]
        index[last] = gaps.zeros[written] % _SPAN
        value[last] = gaps.values[written].int()
        bits = to_bits((index << width) | value, INDEX_BITS + width)
        return Stream(bits.flatten(), segment_sums(emitted, gaps.counts) * (INDEX_BITS + width))

    def read(self, stream: Stream, count: int, width: int) -> Tensor:
        size = INDEX_BITS + width
        entries, amounts = from_bits(stream.bits.reshape(-1, size), size).long(), stream.lengths // size
        codes = torch.zeros(len(amounts), count, dtype=code_type(width), device=entries.device)
        image = torch.arange(len(amounts), device=entries.device).repeat_interleave(amounts)
        places = running_sums((entries >> width) + 1, amounts) - 1
        codes[image, places] = (entries & ((1 << width) - 1)).to(codes.dtype)
        return codes
