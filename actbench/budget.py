"""Ceiling, Bits, Budget: how much may be stored, and in codes of which width."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from actbench.errors import UserError
from actbench.feature_map import FLOAT_BITS, FeatureMap

_CEILING = re.compile(r"(?:(peak|traffic):)?(\d{1,9}(?:\.\d{1,6})?)x", re.ASCII)
_BITS = re.compile(r"w(\d{1,2})a(\d{1,2})(?:-(\d{1,2}))?", re.ASCII)


@dataclass(frozen=True)
class Ceiling:
    """The most bits that may be stored for one image, as a factor below fp32.

    `peak`: of the largest map. `traffic`: of all maps together.
    """

    kind: Literal["peak", "traffic"]
    factor: Fraction

    @classmethod
    def parse(cls, text: str) -> Ceiling:
        """Reads `8x`, `2.5x` or `traffic:4x`."""
        match = _CEILING.fullmatch(text.strip())
        if not match or Fraction(match[2]) < 1:
            raise UserError(f"ceiling {text!r}: write a factor of at least 1, as in 8x, 2.5x or traffic:4x")
        return cls("traffic" if match[1] == "traffic" else "peak", Fraction(match[2]))

    def __str__(self) -> str:
        factor = f"{Decimal(self.factor.numerator) / Decimal(self.factor.denominator):f}x"
        return f"traffic:{factor}" if self.kind == "traffic" else factor

    def limit(self, maps: Sequence[FeatureMap]) -> int:
        """Bits that may be stored: `max(bits) / factor` or `sum(bits) / factor`, rounded down."""
        whole = (max if self.kind == "peak" else sum)(fmap.bits for fmap in maps)
        return int(whole / self.factor)

    def share(self, fmap: FeatureMap, maps: Sequence[FeatureMap]) -> int:
        """Bits for one map: all of a peak; of traffic, the share that its size has in the sum."""
        return self.limit(maps) if self.kind == "peak" else int(fmap.bits / self.factor)


@dataclass(frozen=True)
class Bits:
    """The quantisation setting: the width of weights and the range of widths that a stored code may have."""

    weights: int
    low: int
    high: int

    @classmethod
    def parse(cls, text: str) -> Bits:
        """Reads `w8a4`, `w8a2-8` or `w32a32` (none). Widths: 1 to 16, or 32."""
        match = _BITS.fullmatch(text.strip())
        if not match:
            raise UserError(f"bits {text!r}: write weights and activations, as in w8a4, w8a2-8 or w32a32")
        weights, low, high = int(match[1]), int(match[2]), int(match[3] or match[2])
        widths_known = all(1 <= width <= 16 or width == FLOAT_BITS for width in (weights, low, high))
        if not widths_known or weights == 1 or low > high or (low != high and high == FLOAT_BITS):
            raise UserError(f"bits {text!r}: widths are 1 to 16 (weights 2 to 16), the range rising, or 32 for none")
        return cls(weights, low, high)

    def __str__(self) -> str:
        activations = f"{self.low}" if self.low == self.high else f"{self.low}-{self.high}"
        return f"w{self.weights}a{activations}"

    @property
    def widths(self) -> tuple[int, ...]:
        """Every width that a map's codes may have, the widest first."""
        return tuple(range(self.high, self.low - 1, -1))


@dataclass(frozen=True)
class Budget:
    """What a method is handed: a ceiling and bits."""

    ceiling: Ceiling
    bits: Bits

    def __str__(self) -> str:
        return f"{self.ceiling} {self.bits}"

    def allowance(self, fmap: FeatureMap, maps: Sequence[FeatureMap]) -> Allowance:
        """The part of the budget that one of the network's `maps` may use."""
        return Allowance(self.ceiling.share(fmap, maps), self.bits.widths)


REFERENCE = Budget(Ceiling("peak", Fraction(1)), Bits(FLOAT_BITS, FLOAT_BITS, FLOAT_BITS))
"""No ceiling and no quantisation."""


@dataclass(frozen=True)
class Allowance:
    """What one map may use: so many bits an image, in codes of one of these widths (the widest first)."""

    bits: int
    widths: tuple[int, ...]

    def plain_width(self, fmap: FeatureMap) -> int | None:
        """The widest code at which the whole map fits, None where it fits at none."""
        return next((width for width in self.widths if fmap.elements * width <= self.bits), None)

    def rank(self, positions: int, width: int) -> int:
        """How many channels fit: `floor(bits / (H·W·width))`."""
        return self.bits // (positions * width)

    def leaves_alone(self, fmap: FeatureMap) -> bool:
        """Whether the map already fits after quantisation at the widest code."""
        return fmap.elements * self.widths[0] <= self.bits
