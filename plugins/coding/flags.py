"""Run-length code of flags: a one is `1`, and a run of 1 to 16 zeros is `0` and 4 bits. A longer run is cut into runs of
16 and a last one."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from actbench.codec.bit_strings import Stream, to_bits, true_positions
from actbench_plugins.coding.coder import numbers_at
from actbench_plugins.coding.gaps import filled, repeated
from actbench_plugins.coding.prefix import counts_within, prefix_code, symbol_marks

LONGEST_RUN = 16
RUN_BITS = 4
_SIZE = 1 + RUN_BITS
"""Bits that a run takes."""


def encode_flags(flags: Tensor) -> Stream:
    """The strings of flags (batch, n), bool."""
    begins, lengths, images = _runs(flags)
    full = (lengths - 1) >> RUN_BITS
    pieces = filled((lengths - 1) & (LONGEST_RUN - 1), full, LONGEST_RUN - 1)
    ones_before = repeated(begins - lengths.cumsum(0) + lengths, full + 1)
    ones = flags.count_nonzero(1)
    bits = torch.ones(int(ones.sum()) + _SIZE * len(pieces), dtype=torch.uint8, device=flags.device)
    first = ones_before + _SIZE * torch.arange(len(pieces), device=flags.device)
    positions = first[:, None] + torch.arange(_SIZE, device=flags.device)
    bits.scatter_(0, positions.flatten(), to_bits(pieces, _SIZE).flatten())
    return Stream(bits, ones.index_add(0, images, _SIZE * (full + 1)))


def decode_flags(stream: Stream, count: int) -> tuple[Tensor, Tensor]:
    """The flags (images, count), uint8, and how many bits of its string (images,) each took. Of each string only a part
    is searched for runs that, most often, holds them all."""
    limit = count
    while True:
        head = stream.divide(stream.lengths.clamp(max=limit))[0]
        begins, lengths, used = _read_runs(head, count)
        if bool(((used <= head.lengths) | (head.lengths == stream.lengths)).all()):
            return _ones_between(begins, lengths, count * len(used)).view(len(used), count), used
        limit *= 2


def _runs(flags: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where the runs of zeros in flags (batch, n) begin, counted through all images; their lengths; and their images."""
    images, count = flags.shape
    closed = flags.new_ones(1 + images * (count + 1))
    closed[1:].view(images, count + 1)[:, :count] = flags
    # Between ones, every second change is a run's end.
    begins, ends = true_positions(closed[1:] ^ closed[:-1]).view(-1, 2).T
    image = begins // (count + 1)
    return begins - image, ends - begins, image


def _read_runs(stream: Stream, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Where runs begin, counted through all images; their lengths; and how many bits of its string (images,) each image
    takes, which is more than there are where a part is missing."""
    positions = true_positions(symbol_marks(stream, prefix_code(RUN_BITS, (RUN_BITS, 0))) > stream.bits)
    lengths = numbers_at(stream.bits, positions + 1, RUN_BITS) + 1
    counts = counts_within(positions, stream)
    first, behind = counts.cumsum(0) - counts, counts.cumsum(0)
    ahead = functional.pad(lengths - _SIZE, (1, 0)).cumsum(0)  # codes that runs have more than bits
    image_begins = count * torch.arange(len(counts), device=counts.device)
    begins = positions + ahead[:-1] + repeated(image_begins - stream.starts - ahead[first], counts)
    kept = begins < repeated(image_begins + count, counts)  # what follows an image's last code is not a run
    before = functional.pad(kept.cumsum(0), (1, 0))
    last = first + before[behind] - before[first]
    ends = functional.pad(positions + _SIZE, (1, 0))[last] - stream.starts
    used = torch.maximum(count + ahead[first] - ahead[last], ends.where(last > first, 0))
    return begins[kept], lengths[kept], used


def _ones_between(begins: Tensor, lengths: Tensor, total: int) -> Tensor:
    """Ones (total,), uint8, with zeros in runs."""
    changes = functional.pad(torch.stack([begins, begins + lengths], 1).flatten(), (1, 1))
    changes[-1] = total
    spans = changes.diff()
    return repeated((torch.arange(len(spans), device=spans.device) % 2 == 0).to(torch.uint8), spans)
