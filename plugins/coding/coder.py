"""What the lossless coders have in common: codes in, strings of bits out, and the reading of prefix codes."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from actbench.rate_control import Stream, code_type, concatenate

_CODES_AT_ONCE = 1 << 19
_DOUBLINGS = 5


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
        read = [self.read(bits, count, width) for bits in stream.strings()]
        return torch.stack(read) if read else stream.bits.new_zeros(0, count).to(code_type(width))

    @abstractmethod
    def read(self, bits: Tensor, count: int, width: int) -> Tensor:
        """One image's string → its codes (count,)."""

    def fitted(self, codes: Tensor, width: int) -> Coder:
        """This code with its parameters chosen for codes of the calibration images; without any, itself."""
        return self

    def describe(self) -> dict[str, int]:
        """The parameters, for the record."""
        return {}


def symbol_starts(lengths: Tensor) -> Tensor:
    """Positions at which the symbols of a prefix code begin, in rising order.

    `lengths` (n,) int32: how long the symbol would be that begins at each bit. From each bit there is one jump to the
    next symbol; doubled five times it goes over 32 symbols. A chain of these long jumps runs through the string, and
    the symbols between are found from all its links at once.
    """
    total = len(lengths)
    here = torch.arange(total, device=lengths.device, dtype=torch.int32)
    jumps = torch.cat([(here + lengths).clamp_(max=total), lengths.new_full((1,), total)])
    far = jumps
    for _ in range(_DOUBLINGS):
        far = far.index_select(0, far)
    hop, links, at = far.cpu().numpy().item, [], 0
    while at < total:
        links.append(at)
        at = hop(at)
    columns = [torch.tensor(links, dtype=torch.int32, device=lengths.device)]
    for _ in range((1 << _DOUBLINGS) - 1):
        columns.append(jumps.index_select(0, columns[-1]))
    starts = torch.stack(columns, 1).flatten().long()
    return starts[: int(torch.searchsorted(starts, total))]


def peek(bits: Tensor, count: int) -> Tensor:
    """(n,) for each bit the number, of at most 8 bits, that it and the `count` − 1 bits behind it are; zeros follow
    the last bit."""
    padded = torch.cat([bits, bits.new_zeros(count - 1)])
    values = bits.clone()
    for offset in range(1, count):
        values.mul_(2).add_(padded[offset : offset + len(bits)])
    return values


def numbers_at(bits: Tensor, positions: Tensor, count: int) -> Tensor:
    """The numbers that the `count` bits from each position on are; zeros follow the last bit."""
    padded = torch.cat([bits, bits.new_zeros(count + 1)])
    values = torch.zeros_like(positions, dtype=torch.int32)
    for offset in range(count):
        values.mul_(2).add_(padded.index_select(0, positions + offset))
    return values
