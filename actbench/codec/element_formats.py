"""Element formats: numbers of a few bits, of which blocks with a common scale are made.

Values to codes and back as hardware does it: rounded to the nearest, of two that are as near to the one whose last bit
is zero, and beyond the largest to the largest.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

_MANTISSA_BITS = 23
_EXPONENT = 0xFF << _MANTISSA_BITS
_BIAS = 127


class ElementFormat(Protocol):
    """A format of `bits` bits; `signed` where its codes are in two's complement."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def bits(self) -> int:
        """Bits of a code."""

    @property
    def signed(self) -> bool:
        """Whether codes are signed integers; otherwise they are unsigned ones, whatever they stand for."""

    @property
    def largest(self) -> float:
        """The largest value."""

    def encode(self, x: Tensor) -> Tensor:
        """Rounds values, fp32 of any shape, to codes, int32."""

    def decode(self, codes: Tensor) -> Tensor:
        """Gives the values, fp32, that codes of any type stand for."""


@dataclass(frozen=True)
class FloatFormat:
    """Floating point: a sign, then exponent and mantissa, with subnormal numbers.

    The last `reserved` codes of either sign are infinity or no numbers: no value is rounded to them.

    Example:
        >>> codes = FP4_E2M1.encode(torch.tensor([0.3, -1.2, 2.5, 100.0]))
        >>> codes.tolist(), FP4_E2M1.decode(codes).tolist()
        ([1, 10, 4, 7], [0.5, -1.0, 2.0, 6.0])
    """

    name: str
    exponent_bits: int
    mantissa_bits: int
    reserved: int = 0

    signed = False

    @property
    def bits(self) -> int:
        """Bits of a code."""
        return 1 + self.exponent_bits + self.mantissa_bits

    @property
    def bias(self) -> int:
        """What a stored exponent is larger by, `2^(exponent bits − 1) − 1`."""
        return (1 << (self.exponent_bits - 1)) - 1

    @property
    def largest_exponent(self) -> int:
        """The exponent of the largest value."""
        return (self.largest_code >> self.mantissa_bits) - self.bias

    @property
    def largest(self) -> float:
        """The largest value."""
        return float(_values(self)[self.largest_code])

    def encode(self, x: Tensor) -> Tensor:
        """Rounds values to codes: sign, exponent, mantissa."""
        magnitude = x.abs().clamp_(max=self.largest)
        dropped = _MANTISSA_BITS - self.mantissa_bits
        least = (1 - self.bias + _BIAS) << _MANTISSA_BITS
        exponents = (magnitude.view(torch.int32) & _EXPONENT).clamp_min_(least)
        # Added to 2^dropped in their binade, values are rounded by the addition itself: the sum's last bit is a step.
        steps = exponents + (dropped << _MANTISSA_BITS)
        codes = magnitude.add_(steps.view(torch.float32)).view(torch.int32).sub_(steps)
        codes += exponents.sub_(least) >> dropped
        signs = x.view(torch.int32) >> 31  # of all bits
        return codes.add_(signs.bitwise_and_(1 << (self.bits - 1)))

    def decode(self, codes: Tensor) -> Tensor:
        """Looks the values of codes up."""
        table = torch.from_numpy(_values(self)).to(codes.device)
        return table.index_select(0, codes.flatten().int()).view(codes.shape)

    @property
    def largest_code(self) -> int:
        """The code of the largest value."""
        return (1 << (self.bits - 1)) - 1 - self.reserved


@dataclass(frozen=True)
class IntegerFormat:
    """Fixed point below 2: signed integers, of which the lowest stays unused, over `2^(bits − 2)`; or with `signed`
    false, for values that are not negative, unsigned ones over `2^(bits − 1)`."""

    bits: int
    signed: bool = True

    @property
    def name(self) -> str:
        """`int8`, or `uint8`."""
        return f"{'int' if self.signed else 'uint'}{self.bits}"

    @property
    def largest(self) -> float:
        """The largest value."""
        return self.largest_code / self._scale

    @property
    def largest_exponent(self) -> int:
        """The exponent of the largest value."""
        return 0

    def encode(self, x: Tensor) -> Tensor:
        """Rounds values to integers."""
        least = -self.largest_code if self.signed else 0
        return (x * self._scale).round_().clamp_(least, self.largest_code).int()

    def decode(self, codes: Tensor) -> Tensor:
        """Gives the values of integers."""
        return codes.float() / self._scale

    @property
    def _fraction_bits(self) -> int:
        return self.bits - 1 - self.signed

    @property
    def _scale(self) -> int:
        return 1 << self._fraction_bits

    @property
    def largest_code(self) -> int:
        """The code of the largest value."""
        return (2 << self._fraction_bits) - 1


FP8_E4M3 = FloatFormat("fp8_e4m3", 4, 3, reserved=1)
FP8_E5M2 = FloatFormat("fp8_e5m2", 5, 2, reserved=4)
FP6_E3M2 = FloatFormat("fp6_e3m2", 3, 2)
FP6_E2M3 = FloatFormat("fp6_e2m3", 2, 3)
FP4_E2M1 = FloatFormat("fp4_e2m1", 2, 1)
INT8 = IntegerFormat(8)


@lru_cache
def _values(form: FloatFormat) -> NDArray[numpy.float32]:
    """The value of every code; those of reserved codes mean nothing."""
    codes = numpy.arange(1 << (form.bits - 1))
    exponents, mantissas = numpy.divmod(codes, 1 << form.mantissa_bits)
    significands = mantissas + ((exponents > 0) << form.mantissa_bits)
    magnitudes = numpy.ldexp(significands, numpy.maximum(exponents, 1) - form.bias - form.mantissa_bits)
    return numpy.concatenate([magnitudes, -magnitudes]).astype(numpy.float32)
