"""Zero run-length coding: a non-zero value is `1` and its bits; a run of 1 to 16 zeros is `0` and 4 bits."""

from __future__ import annotations

import torch
from torch import Tensor

from actbench.rate_control import Stream, code_type, symbols, true_positions
from actbench_plugins.coding.coder import Coder, images_of, peek, symbol_starts

LONGEST_RUN = 16
RUN_BITS = 4


class RunLength(Coder):
    """`(1 + width)·non-zeros + 5·runs` bits; a longer run is cut into runs of 16 and a last one."""

    def encode(self, codes: Tensor, width: int) -> Stream:
        return encode_runs(codes, width)

    def decode(self, stream: Stream, count: int, width: int) -> Tensor:
        values = peek(stream.bits, 1 + width)
        return decode_runs(stream, values - values.new_tensor(1 << width), count, width)[0]


def encode_runs(codes: Tensor, width: int) -> Stream:
    """The run-length code of codes (batch, n), with `width` bits behind the `1` of a non-zero value (0 for a flag)."""
    if not codes.numel():
        return Stream(codes.new_empty(0, dtype=torch.uint8), codes.new_zeros(len(codes), dtype=torch.int64))
    nonzero = codes != 0
    place = torch.arange(1, codes.shape[1] + 1, device=codes.device, dtype=torch.int32)
    behind_last = (place * nonzero).cummax(1).values
    in_run = ((place - 1 - behind_last) & (LONGEST_RUN - 1)).to(code_type(1 + width))
    ends = torch.ones_like(nonzero)
    ends[:, :-1] = nonzero[:, 1:] | (in_run[:, :-1] == LONGEST_RUN - 1)
    emitted = nonzero | ends
    at = true_positions(emitted)
    behind = codes.to(in_run.dtype) | (1 << width) if width else torch.ones_like(in_run)
    written = torch.where(nonzero, behind, in_run).flatten().index_select(0, at)
    lengths = 1 + RUN_BITS + (width - RUN_BITS) * nonzero.flatten().index_select(0, at).to(torch.int8)
    return symbols(written, lengths, emitted.count_nonzero(1))


def decode_runs(stream: Stream, values: Tensor, count: int, width: int) -> tuple[Tensor, Tensor]:
    """The codes (batch, count), and the length (batch,) of the run-length code at the front of each string.

    `values` (total,): the non-zero value that would begin at each bit.
    """
    ones = stream.bits != 0
    starts = symbol_starts(torch.where(ones, 1 + width, 1 + RUN_BITS).to(torch.int32), stream)
    covered = torch.where(ones, 1, 1 + (peek(stream.bits, 1 + RUN_BITS) & (LONGEST_RUN - 1)))[starts].long()
    images = images_of(starts, stream)
    before = covered.cumsum(0) - covered
    per_image = torch.bincount(images, minlength=len(stream.lengths))
    first = (per_image.cumsum(0) - per_image)[images]
    place = before - before[first]
    kept = place < count
    starts, images, place = starts[kept], images[kept], place[kept]
    nonzero = ones[starts]
    codes = torch.zeros(len(stream.lengths), count, dtype=code_type(max(1, width)), device=stream.bits.device)
    codes[images[nonzero], place[nonzero]] = values[starts[nonzero]].to(codes.dtype)
    lengths = torch.bincount(images, weights=torch.where(nonzero, 1.0 + width, 1.0 + RUN_BITS).double())
    return codes, torch.nn.functional.pad(lengths.long(), (0, len(stream.lengths) - len(lengths)))
