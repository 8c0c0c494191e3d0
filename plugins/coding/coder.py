"""What the lossless coders have in common: codes in, strings of bits out, and the reading of prefix codes."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy
import torch
from torch import Tensor

from actbench.rate_control import Stream, concatenate

_CODES_AT_ONCE, _BITS_AT_ONCE = 1 << 19, 1 << 19
_DOUBLINGS = 6


class Coder(ABC):
    """A lossless code for unsigned integers of `width` bits; zeros should be frequent."""

    def encode(self, codes: Tensor, width: int) -> Stream:
        """Codes (batch, n), uint8 or wider → one string of bits an image. A few images at a time stay in cache."""
        at_once = max(1, _CODES_AT_ONCE // max(1, codes.shape[1]))
        return concatenate([self.write(part, width) for part in codes.split(at_once)])

    @abstractmethod
    def write(self, codes: Tensor, width: int) -> Stream:
        """The strings of a few images."""

    def decode(self, stream: Stream, count: int, width: int) -> Tensor:
        """What `encode` wrote → codes (batch, count)."""
        images = torch.arange(len(stream.lengths), device=stream.bits.device)
        at_once = max(1, _BITS_AT_ONCE // max(1, int(stream.lengths.max()) if len(images) else 1))
        return torch.cat([self.read(stream.select(part), count, width) for part in images.split(at_once)])

    @abstractmethod
    def read(self, stream: Stream, count: int, width: int) -> Tensor:
        """The codes of a few images."""

    def fitted(self, codes: Tensor, width: int) -> Coder:
        """This code with its parameters chosen for codes of the calibration images; without any, itself."""
        return self

    def describe(self) -> dict[str, int]:
        """The parameters, for the record."""
        return {}


def symbol_starts(symbol_lengths: Tensor, stream: Stream) -> Tensor:
    """Positions at which the symbols of a prefix code begin, in rising order.

    `symbol_lengths` (total,): how long the symbol would be that begins at each bit. From each bit there is one jump
    to the next symbol; doubled six times it goes over 64 symbols. One chain of these long jumps runs through all
    strings, from an end to the next beginning, and the symbols between are found from all its links at once. Strings
    may hold more bits behind the symbols: the caller drops the positions that are too many.
    """
    total = len(stream.bits)
    ends = stream.lengths.cumsum(0).to(torch.int32).repeat_interleave(stream.lengths)
    here = torch.arange(total, device=stream.bits.device, dtype=torch.int32)
    jumps = numpy.append(torch.minimum(here + symbol_lengths, ends).cpu().numpy(), numpy.int32(total))
    far = jumps
    for _ in range(_DOUBLINGS):
        far = far.take(far)
    links, at = [], 0
    while at < total:
        links.append(at)
        at = far.item(at)
    starts = numpy.empty((len(links), 1 << _DOUBLINGS), dtype=numpy.int32)
    column = numpy.array(links, dtype=numpy.int32)
    for symbol in range(1 << _DOUBLINGS):
        starts[:, symbol] = column
        column = jumps.take(column)
    flat = torch.from_numpy(starts.reshape(-1)).long()
    return flat[flat < total].to(stream.bits.device)


def peek(bits: Tensor, count: int) -> Tensor:
    """(total,) for each bit the number that it and the `count` − 1 bits behind it are; zeros follow the last bit."""
    padded = torch.cat([bits, bits.new_zeros(count - 1)])
    values = torch.zeros(len(bits), dtype=torch.uint8 if count <= 8 else torch.int32, device=bits.device)
    for offset in range(count):
        values = (values << 1) | padded[offset : offset + len(bits)]
    return values


def numbers_at(bits: Tensor, positions: Tensor, count: int) -> Tensor:
    """The number that the `count` bits from each position on are; zeros follow the last bit."""
    padded = torch.cat([bits, bits.new_zeros(count + 1)])
    values = torch.zeros_like(positions)
    for offset in range(count):
        values = (values << 1) | padded[positions + offset]
    return values
