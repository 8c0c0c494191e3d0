"""ZVC, zero-value compression: a bit a value says whether it is zero; `width` bits a non-zero value follow."""

from __future__ import annotations

from torch import Tensor

from actbench.codec.bit_strings import Stream, zero_value_decode, zero_value_encode, zero_value_lengths
from actbench_plugins.coding.coder import Coder


class ZeroValue(Coder):
    """A bit-map, then the non-zero values: `n + width·non-zeros` bits (Rhu et al., HPCA 2018, arXiv 1705.01626)."""

    def write(self, codes: Tensor, width: int) -> Stream:
        return zero_value_encode(codes, width)

    def lengths(self, codes: Tensor, width: int) -> Tensor:
        return zero_value_lengths(codes, width)

    def read(self, stream: Stream, count: int, width: int) -> Tensor:
        return zero_value_decode(stream, count, width)
