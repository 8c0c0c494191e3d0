"""Zero run-length coding: a non-zero value is `1` and its bits; a run of 1 to 16 zeros is `0` and 4 bits."""

from __future__ import annotations

import torch
from torch import Tensor

from actbench.codec.bit_strings import Stream, code_type, segment_sums, symbols, true_positions
from actbench_plugins.coding.coder import Coder, numbers_at, running_sums
from actbench_plugins.coding.gaps import filled, find_gaps
from actbench_plugins.coding.prefix import prefix_code, symbol_starts

LONGEST_RUN = 16
RUN_BITS = 4


class RunLength(Coder):
    """Run-length code of `(1 + width)·non-zeros + 5·runs` bits; a longer run is cut into runs of 16 and a last one."""

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
    counts = gaps.counts + segment_sums(full, gaps.counts)
    return symbols(filled(values, full, LONGEST_RUN - 1), filled(lengths, full, 1 + RUN_BITS), counts)


def read_runs(stream: Stream, count: int, width: int) -> tuple[Tensor, Tensor]:
    """The images' codes (images, count), and how many bits of its string (images,) each took."""
    longest = max(width, RUN_BITS)
    starts, symbol_counts = symbol_starts(stream, prefix_code(longest, (RUN_BITS, width)))
    nonzero = stream.bits.view(torch.bool).index_select(0, starts)
    after_flag = numbers_at(stream.bits, starts + 1, longest)
    covered = torch.where(nonzero, 1, (after_flag >> (longest - RUN_BITS)) + 1)
    positions = running_sums(covered, symbol_counts) - covered
    kept = positions < count  # what follows an image's last code in its string is not a run
    images = len(symbol_counts)
    codes = torch.zeros(images * count, dtype=code_type(max(1, width)), device=starts.device)
    written = true_positions(nonzero & kept)
    first = count * torch.arange(images, device=starts.device).repeat_interleave(symbol_counts)
    values = after_flag.index_select(0, written) >> (longest - width) if width else torch.ones_like(written)
    codes.scatter_(0, (first + positions).index_select(0, written), values.to(codes.dtype))
    used = torch.where(nonzero, 1 + width, 1 + RUN_BITS) * kept
    return codes.unflatten(0, (images, count)), segment_sums(used, symbol_counts)
