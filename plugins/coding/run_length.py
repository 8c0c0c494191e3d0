"""Zero run-length coding: a non-zero value is `1` and its bits; a run of 1 to 16 zeros is `0` and 4 bits."""

from __future__ import annotations

import torch
from torch import Tensor

from actbench.codec.bit_strings import Stream, code_type, segment_sums, symbols, true_positions
from actbench_plugins.coding.coder import Coder, numbers_at
from actbench_plugins.coding.flags import LONGEST_RUN, RUN_BITS, run_count
from actbench_plugins.coding.gaps import filled, find_gaps
from actbench_plugins.coding.prefix import prefix_code, symbol_starts


class RunLength(Coder):
    """Run-length code of `(1 + width)·non-zeros + 5·runs` bits; a longer run is cut into runs of 16 and a last one."""

    def write(self, codes: Tensor, width: int) -> Stream:
        return symbols(*_pairs(codes, width))

    def counted_lengths(self, codes: Tensor, width: int) -> Tensor:
        return (codes != 0).sum(1) * (1 + width) + (1 + RUN_BITS) * run_count(codes)

    def read(self, stream: Stream, count: int, width: int) -> Tensor:
        longest = max(width, RUN_BITS)
        starts, _ = symbol_starts(stream, prefix_code(longest, (RUN_BITS, width)))
        nonzero = stream.bits.view(torch.bool).index_select(0, starts)
        after_flag = numbers_at(stream.bits, starts.add_(1), longest)
        covered = (after_flag >> (longest - RUN_BITS)).add_(1).masked_fill_(nonzero, 1)
        # A code's, or that of a run's last, as every image has all its codes.
        positions = torch.cumsum(covered, 0, out=starts).sub_(1)
        written = true_positions(nonzero)
        codes = torch.zeros(len(stream.lengths) * count, dtype=code_type(width), device=starts.device)
        values = after_flag.index_select(0, written) >> (longest - width)
        codes.scatter_(0, positions.index_select(0, written), values.to(codes.dtype))
        return codes.reshape(len(stream.lengths), count)


def _pairs(codes: Tensor, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """The symbols of codes, their lengths, and how many each image has. A gap's last run and the non-zero value behind
    it are one symbol; 16 zeros that stand before them are another."""
    gaps = find_gaps(codes)
    full = (gaps.zeros - 1).clamp_min_(0) >> RUN_BITS
    last = gaps.zeros - LONGEST_RUN * full
    lengths = (1 + RUN_BITS) * (last > 0).byte() + (1 + width)
    runs = last.sub_(1).clamp_min_(0)
    values = (runs << (1 + width)).bitwise_or_(gaps.values).bitwise_or_(1 << width)
    values[gaps.ends] = runs[gaps.ends]
    lengths[gaps.ends] -= 1 + width
    counts = gaps.counts + segment_sums(full, gaps.counts)
    return filled(values, full, LONGEST_RUN - 1), filled(lengths, full, 1 + RUN_BITS), counts
