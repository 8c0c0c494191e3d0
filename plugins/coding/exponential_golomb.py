"""Sparse exponential Golomb coding (Georgiadis, CVPR 2019, arXiv 1812.04056)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy
import torch
from torch import Tensor

from actbench.codec.bit_strings import Stream, code_type, symbols, true_positions
from actbench_plugins.coding.coder import Coder, numbers_at
from actbench_plugins.coding.prefix import Transitions, prefix_code, symbol_starts


@dataclass(frozen=True)
class SparseExponentialGolomb(Coder):
    """Golomb code for sparse maps: a zero is `0`; x > 0 is `1` and the exponential Golomb code of order k of y = x − 1:

    m zeros, q = (y >> k) + 1 in m + 1 bits, and the k low bits of y, with m = ⌊log2 q⌋: `2m + 1 + k` bits.
    """

    order: int = 0

    def lengths(self, codes: Tensor, width: int) -> Tensor:
        return self._looked_up(codes, width)[1].view_as(codes).sum(1)

    def write(self, codes: Tensor, width: int) -> Stream:
        counts = torch.full((len(codes),), codes.shape[1], device=codes.device)
        return symbols(*self._looked_up(codes, width), counts)

    def read(self, stream: Stream, count: int, width: int) -> Tensor:
        starts, _ = symbol_starts(stream, _automaton(self.order, width))
        codes = torch.zeros(len(starts), dtype=code_type(width), device=starts.device)
        nonzero = true_positions(stream.bits.index_select(0, starts))
        # What the longest symbol has behind its first bit: m zeros, and of what follows the first m + 1 + k bits.
        longest = int(_symbols(self.order, width)[1].max()) - 1
        after_flag = numbers_at(stream.bits, starts.index_select(0, nonzero).add_(1), longest)
        significant = torch.from_numpy(numpy.frexp(after_flag.double().cpu().numpy())[1]).to(after_flag.device)
        tails = after_flag >> (2 * significant - longest - 1 - self.order)
        codes.scatter_(0, nonzero, (tails - (1 << self.order) + 1).to(codes.dtype))
        return codes.reshape(len(stream.lengths), count)

    def fitted(self, codes: Tensor, width: int) -> SparseExponentialGolomb:
        """The order with the fewest bits on the calibration images."""
        counts = torch.bincount(codes.flatten(), minlength=1 << width).cpu()
        bits = [int(counts @ _symbols(order, width)[1].long()) for order in range(width)]
        return SparseExponentialGolomb(bits.index(min(bits)))

    def describe(self) -> dict[str, int]:
        return {"order": self.order}

    def _looked_up(self, codes: Tensor, width: int) -> tuple[Tensor, Tensor]:
        """The symbol of each of the codes, one after the other, and its length."""
        index = codes.flatten().int()
        values, lengths = (table.to(index.device).index_select(0, index) for table in _symbols(self.order, width))
        return values, lengths


def _automaton(order: int, width: int) -> Transitions:
    """The automaton of a 1, m zeros, a 1, and then m + k bits."""
    most_zeros = ((((1 << width) - 2) >> order) + 1).bit_length() - 1
    longest = most_zeros + order
    after_zeros = [longest + 1 + number for number in range(most_zeros + 1)]
    inner = [(after_zeros[min(number + 1, most_zeros)], number + order) for number in range(most_zeros + 1)]
    return prefix_code(longest, (0, after_zeros[0]), *inner)


@lru_cache
def _symbols(order: int, width: int) -> tuple[Tensor, Tensor]:
    """The symbol of each code, and its length."""
    codes = torch.arange(1 << width)
    y = (codes - 1).clamp(min=0)
    quotients = (y >> order) + 1
    # ⌊log2⌋ is exact in fp32, whose exponent it is, for codes below 2^24.
    logarithms = torch.frexp(quotients.float())[1].long() - 1
    lengths = torch.where(codes == 0, 1, 2 * logarithms + order + 2)
    tail = (quotients << order) | (y & ((1 << order) - 1))
    values = torch.where(codes == 0, 0, (1 << (lengths - 1)) | tail)
    return values.to(code_type(int(lengths.max()))), lengths.to(torch.uint8)
