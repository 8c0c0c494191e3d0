"""Sparse exponential Golomb coding (Georgiadis, CVPR 2019, arXiv 1812.04056)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from actbench.bit_strings import Stream, code_type, symbols, true_positions
from actbench_plugins.coding.coder import Coder, numbers_at
from actbench_plugins.coding.prefix import Transitions, prefix_code, symbol_starts


@dataclass(frozen=True)
class SparseExponentialGolomb(Coder):
    """A zero is `0`; x > 0 is `1` and the exponential Golomb code of order k of y = x − 1:

    m zeros, q = (y >> k) + 1 in m + 1 bits, and the k low bits of y, with m = ⌊log2 q⌋: `2m + 1 + k` bits.
    """

    order: int = 0

    def lengths(self, codes: Tensor) -> Tensor:
        """The length of each code's symbol, in the shape of `codes`."""
        quotients = ((codes.long() - 1).clamp(min=0) >> self.order) + 1
        # ⌊log2⌋ is exact in fp32, whose exponent it is, for codes below 2^24.
        return torch.where(codes == 0, 1, 2 * (torch.frexp(quotients.float())[1].long() - 1) + self.order + 2)

    def write(self, codes: Tensor, width: int) -> Stream:
        index = codes.flatten().int()
        values, lengths = (table.to(index.device).index_select(0, index) for table in _symbols(self.order, width))
        return symbols(values, lengths, torch.full((len(codes),), codes.shape[1], device=codes.device))

    def read(self, stream: Stream, count: int, width: int) -> Tensor:
        bits = stream.bits
        starts, _ = symbol_starts(stream, _automaton(self.order, width))
        # The tail of a symbol has at most `longest` bits: q and the low bits, less what they can be at this width.
        longest = ((1 << width) >> self.order).bit_length() + self.order
        prefix = _zeros_behind(bits).index_select(0, starts)
        tails = numbers_at(bits, starts + 1 + prefix, longest) >> (longest - prefix - 1 - self.order)
        values = torch.where(bits[starts] == 0, 0, tails - (1 << self.order) + 1)
        return values.to(code_type(width)).reshape(len(stream.lengths), count)

    def fitted(self, codes: Tensor, width: int) -> SparseExponentialGolomb:
        """The order with the fewest bits on the calibration images."""
        coders = [SparseExponentialGolomb(order) for order in range(width)]
        return min(coders, key=lambda coder: int(coder.lengths(codes).sum()))

    def describe(self) -> dict[str, int]:
        return {"order": self.order}


def _automaton(order: int, width: int) -> Transitions:
    """A 1, m zeros, a 1, and then m + k bits more."""
    most = width + 1
    longest = most + order
    zeros = [longest + 1 + number for number in range(most + 1)]
    inner = [(zeros[min(number + 1, most)], number + order) for number in range(most + 1)]
    return prefix_code(longest, (0, zeros[0]), *inner)


@lru_cache
def _symbols(order: int, width: int) -> tuple[Tensor, Tensor]:
    """Of each code its symbol and its length."""
    codes = torch.arange(1 << width)
    behind = (codes - 1).clamp(min=0)
    tail = (((behind >> order) + 1) << order) | (behind & ((1 << order) - 1))
    lengths = SparseExponentialGolomb(order).lengths(codes)
    values = torch.where(codes == 0, 0, (1 << (lengths - 1)) | tail)
    return values.to(code_type(int(lengths.max()))), lengths.to(torch.uint8)


def _zeros_behind(bits: Tensor) -> Tensor:
    """(n,) int32: how many zeros stand between each bit and the next 1, or the end."""
    places = true_positions(bits).int()
    first = torch.cat([places, places.new_full((1,), len(bits))])
    here = torch.arange(len(bits), dtype=torch.int32, device=bits.device)
    following = first.repeat_interleave(first.diff(prepend=first.new_full((1,), -1)))[1:]
    return following[: len(bits)] - here - 1 if len(bits) else here
