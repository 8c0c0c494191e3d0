"""Zero run-length coding: a non-zero value is `1` and its bits; a run of 1 to 16 zeros is `0` and 4 bits."""

from __future__ import annotations

import torch
from torch import Tensor

from actbench.bit_strings import Stream, code_type, segment_sums, symbols, true_positions
from actbench_plugins.coding.coder import Coder, numbers_at, peek, running_sums
from actbench_plugins.coding.gaps import find_gaps, offsets_within
from actbench_plugins.coding.prefix import prefix_code, symbol_starts

LONGEST_RUN = 16
RUN_BITS = 4


class RunLength(Coder):
    """`(1 + width)·non-zeros + 5·runs` bits; a longer run is cut into runs of 16 and a last one."""

    def write(self, codes: Tensor, width: int) -> Stream:
        return encode_runs(codes, width)

    def read(self, stream: Stream, count: int, width: int) -> Tensor:
        return read_runs(stream, count, width)[0]


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


def read_runs(stream: Stream, count: int, width: int) -> tuple[Tensor, Tensor]:
    """The images' codes (images, count), and how many bits of its string (images,) each took."""
    starts, amounts = symbol_starts(stream, prefix_code(max(width, RUN_BITS), (RUN_BITS, width)))
    one = stream.bits.view(torch.bool).index_select(0, starts)
    covered = torch.ones_like(starts)
    runs = true_positions(~one)
    covered[runs] += peek(stream.bits, 1 + RUN_BITS).index_select(0, starts.index_select(0, runs)).long()
    places = running_sums(covered, amounts) - covered
    kept = places < count  # what follows an image's last code in its string is not a run
    codes = torch.zeros(len(amounts) * count, dtype=code_type(max(1, width)), device=starts.device)
    at = true_positions(one & kept)
    first = count * torch.arange(len(amounts), device=starts.device).repeat_interleave(amounts)
    values = numbers_at(stream.bits, starts.index_select(0, at) + 1, width).to(codes.dtype) if width else 1
    codes[(first + places).index_select(0, at)] = values
    used = torch.where(one, 1 + width, 1 + RUN_BITS) * kept
    return codes.unflatten(0, (len(amounts), count)), segment_sums(used, amounts)
