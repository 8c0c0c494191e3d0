"""Run-length code of flags: a one is `1`, and a run of 1 to 16 zeros is `0` and 4 bits. Longer runs are cut into
runs of 16 and a last one."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from actbench.codec.bit_strings import Stream, to_bits, true_positions
from actbench_plugins.coding.coder import numbers_at
from actbench_plugins.coding.gaps import filled, repeated, zeros_until
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
    sizes = torch.full((len(flags),), flags.shape[1], device=flags.device)
    sizes.index_add_(0, images, _SIZE * (full + 1) - lengths)
    bits = torch.ones(int(sizes.sum()), dtype=torch.uint8, device=flags.device)
    ones_before = repeated(begins - lengths.cumsum(0) + lengths, full + 1)
    written = to_bits(pieces, _SIZE)
    first = ones_before + _SIZE * torch.arange(len(pieces), device=flags.device)
    positions = first[:, None] + torch.arange(_SIZE, device=flags.device)
    bits.scatter_(0, positions.flatten(), written.flatten())
    return Stream(bits, sizes)


def run_count(flags: Tensor) -> Tensor:
    """How many runs each image (batch,) of flags, or codes, (batch, n) has."""
    return (zeros_until(flags) % LONGEST_RUN == 1).sum(1)


def decode_flags(stream: Stream, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Where the ones are of images with `count` flags each, counted through all images; how many each image has; and
    how many bits its string took. Of each string only a part is searched for runs that, most often, holds them all."""
    limit = count
    while True:
        heads = [stream.bits[:0], *(string[:limit] for string in stream.strings())]
        head = Stream(torch.cat(heads), stream.lengths.clamp(max=limit))
        begins, lengths, runs, used = _read_runs(head, count)
        if bool(((used <= head.lengths) | (head.lengths == stream.lengths)).all()):
            return _between(begins, lengths, count * len(used)), used - _SIZE * runs, used
        limit *= 2


def _runs(flags: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where the runs of zeros in flags (batch, n) begin, counted through all images; their lengths and images."""
    images, count = flags.shape
    closed = flags.new_ones(1 + images * (count + 1))
    closed[1:].view(images, count + 1)[:, :count] = flags
    # Between ones, every second change is a run's end.
    begins, ends = true_positions(closed[1:] ^ closed[:-1]).view(-1, 2).T
    image = begins // (count + 1)
    return begins - image, ends - begins, image


def _read_runs(stream: Stream, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Where runs begin, counted through all images; their lengths; how many each image has; and how many bits of its
    string it takes, which is more than there are where a part is missing."""
    positions = true_positions(symbol_marks(stream, prefix_code(RUN_BITS, (RUN_BITS, 0))) > stream.bits)
    lengths = numbers_at(stream.bits, positions + 1, RUN_BITS) + 1
    found = counts_within(positions, stream)
    behind = found.cumsum(0)
    first = behind - found
    ahead = functional.pad(lengths - _SIZE, (1, 0)).cumsum(0)  # codes that runs have more than bits
    image_begins = count * torch.arange(len(found), device=found.device)
    begins = positions + ahead[:-1] + repeated(image_begins - stream.starts - ahead[first], found)
    # What follows an image's last code is not a run.
    kept = true_positions(begins < repeated(image_begins + count, found))
    runs = torch.searchsorted(kept, behind) - torch.searchsorted(kept, first)
    ends = functional.pad(positions + _SIZE, (1, 0))[first + runs] - stream.starts
    used = torch.maximum(count + ahead[first] - ahead[first + runs], ends.where(runs > 0, 0))
    return begins.index_select(0, kept), lengths.index_select(0, kept), runs, used


def _between(begins: Tensor, lengths: Tensor, total: int) -> Tensor:
    """The positions below `total` that are in none of the runs."""
    covered = functional.pad(lengths.cumsum(0), (1, 0))
    outside = functional.pad(begins, (0, 1), value=total) - covered
    positions = repeated(covered, outside.diff(prepend=outside.new_zeros(1)))
    return positions.add_(torch.arange(len(positions), device=positions.device))
