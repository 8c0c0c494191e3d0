"""Zero run-length coding: a non-zero value is `1` and its bits; a run of 1 to 16 zeros is `0` and 4 bits."""

from __future__ import annotations

import torch
from torch import Tensor

from actbench.rate_control import Stream, code_type, segment_sums, symbols, true_positions
from actbench_plugins.coding.coder import Coder, numbers_at, symbol_starts
from actbench_plugins.coding.gaps import find_gaps, offsets_within

LONGEST_RUN = 16
RUN_BITS = 4


class RunLength(Coder):
    """`(1 + width)·non-zeros + 5·runs` bits; a longer run is cut into runs of 16 and a last one."""

    def write(self, codes: Tensor, width: int) -> Stream:
        return encode_runs(codes, width)

    def read(self, bits: Tensor, count: int, width: int) -> Tensor:
        return read_runs(bits, count, width)[0]


def encode_runs(codes: Tensor, width: int) -> Stream:
    """The run-length code of codes (batch, n), with `width` bits behind the `1` of a non-zero value (0 for a flag)."""
    gaps = find_gaps(codes)
    full = (gaps.zeros - 1).clamp_min(0) >> 4
    last = gaps.zeros - LONGEST_RUN * full
    runs = (last - 1).clamp_min(0)
    # A gap's last run and the non-zero value behind it are written as one symbol.
    values = (runs << (1 + width)) | (1 << width) | (gaps.values.int() if width else 0)
    lengths = (1 + RUN_BITS) * (last > 0).byte() + (1 + width)
    values[gaps.ends] = runs[gaps.ends]
    lengths[gaps.ends] -= 1 + width
    return symbols(*_with_full_runs(values, lengths, full), gaps.counts + segment_sums(full, gaps.counts))


def _with_full_runs(values: Tensor, lengths: Tensor, full: Tensor) -> tuple[Tensor, Tensor]:
    """Symbols and their lengths, with so many runs of 16 zeros before each of them as `full` says."""
    at = true_positions(full)
    repeats = full[at].long()
    inserted = (at + repeats.cumsum(0) - repeats).repeat_interleave(repeats) + offsets_within(repeats)
    own = torch.ones(len(values) + len(inserted), dtype=torch.bool, device=values.device)
    own[inserted] = False
    many = torch.full_like(own, LONGEST_RUN - 1, dtype=values.dtype).masked_scatter_(own, values)
    return many, torch.full_like(own, 1 + RUN_BITS, dtype=lengths.dtype).masked_scatter_(own, lengths)


def read_runs(bits: Tensor, count: int, width: int) -> tuple[Tensor, int]:
    """One image's codes (count,), and how many bits of its string they took."""
    ones = bits.view(torch.bool)
    starts = symbol_starts(ones.int().mul_(width - RUN_BITS).add_(1 + RUN_BITS))
    one = ones[starts]
    covered = torch.where(one, 1, 1 + numbers_at(bits, starts + 1, RUN_BITS))
    ends = covered.cumsum(0)
    kept = int(torch.searchsorted(ends, count)) + 1 if count else 0
    at = true_positions(one[:kept])
    values = numbers_at(bits, starts[at] + 1, width) if width else torch.ones_like(at)
    codes = torch.zeros(count, dtype=code_type(max(1, width)), device=bits.device)
    codes[(ends - covered)[at]] = values.to(codes.dtype)
    return codes, int(starts[kept]) if kept < len(starts) else len(bits)
