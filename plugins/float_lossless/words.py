"""Floating-point numbers as words: a head of sign and exponent, and a mantissa."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

HEADS = 1 << 9
"""Heads of a sign and 8 bits of exponent, as fp32 and bfloat16 have them."""


@dataclass(frozen=True)
class Words:
    """The words of a type with so many mantissa bits, 23 (fp32) or 7 (bfloat16). Subnormal numbers count as zero."""

    mantissa_bits: int

    @property
    def bits(self) -> int:
        """Bits of a word."""
        return 9 + self.mantissa_bits

    def split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Splits values (...) into heads and mantissas, int32 of the same shape."""
        words = self._rounded(x).view(torch.int32)
        heads = (words >> 23) & (HEADS - 1)
        mantissas = (words >> (23 - self.mantissa_bits)) & ((1 << self.mantissa_bits) - 1)
        return heads, torch.where(has_mantissa(heads), mantissas, 0)

    def join(self, heads: Tensor, mantissas: Tensor, kept: int) -> Tensor:
        """Joins heads and the first `kept` bits of mantissas to values in fp32: what was cut off becomes half of
        what it may have been, so that the error is that of rounding."""
        cut = self.mantissa_bits - kept
        filled = (mantissas << cut) | ((1 << cut) >> 1)
        filled = torch.where(has_mantissa(heads), filled, 0)
        return ((heads << 23) | (filled << (23 - self.mantissa_bits))).view(torch.float32)

    def shortened(self, x: Tensor, kept: int) -> Tensor:
        """What is read of values of which the first `kept` bits of mantissas are stored, in fp32."""
        heads, mantissas = self.split(x)
        return self.join(heads, mantissas >> (self.mantissa_bits - kept), kept)

    def _rounded(self, x: Tensor) -> Tensor:
        return (x if self.mantissa_bits == 23 else x.bfloat16()).float().contiguous()


def has_mantissa(heads: Tensor) -> Tensor:
    """Where numbers have a mantissa: zeros have none."""
    return heads & 0xFF != 0
