"""Ceiling, Bits, Budget: how much may be stored, and in codes of which width."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Literal, cast

from actbench.errors import UserError
from actbench.feature_map import FLOAT_BITS, FeatureMap
from actbench.live_shares import live_bits, live_shares
from actbench.sizes import format_size, parse_size

Kind = Literal["peak", "traffic", "live"]
"""What a ceiling counts: the largest map, all maps together, or what is in memory at once while a layer computes."""

_FACTOR = re.compile(r"(?:(peak|traffic|live):)?(\d{1,9}(?:\.\d{1,6})?)x", re.ASCII)
_SIZE = re.compile(r"(peak|traffic|live):(\S{1,30})", re.ASCII)
_BITS = re.compile(r"w(\d{1,2})a(\d{1,2})(?:-(\d{1,2}))?", re.ASCII)


@dataclass(frozen=True)
class Ceiling:
    """The most bits that may be stored for one image: a `factor` below fp32, or so many `bits`, and then no factor."""

    kind: Kind
    factor: Fraction | None
    bits: int | None = None

    @classmethod
    def parse(cls, text: str) -> Ceiling:
        """Reads `8x`, `2.5x`, `traffic:4x`, `peak:64KiB` or `live:1.5MiB`; a factor without a kind is of the peak."""
        factor, size = _FACTOR.fullmatch(text.strip()), _SIZE.fullmatch(text.strip())
        if factor and Fraction(factor[2]) >= 1:
            return cls(cast("Kind", factor[1] or "peak"), Fraction(factor[2]))
        if size and (stored := parse_size(size[2])):
            return cls(cast("Kind", size[1]), None, 8 * stored)
        raise UserError(
            f"ceiling {text!r}: write a factor of at least 1, as in 8x, 2.5x or traffic:4x, or a kind with a "
            "size, as in peak:64KiB, traffic:1.5MiB or live:256KiB"
        )

    def __str__(self) -> str:
        if self.factor is None:
            return f"{self.kind}:{format_size((self.bits or 0) // 8)}"
        factor = f"{Decimal(self.factor.numerator) / Decimal(self.factor.denominator):f}x"
        return factor if self.kind == "peak" else f"{self.kind}:{factor}"

    def allowed(self, whole: int) -> int:
        """Bits that may be stored of what has so many bits in fp32, rounded down."""
        return (self.bits or 0) if self.factor is None else int(whole / self.factor)

    def summed(self) -> Ceiling:
        """The same of what training saves, which is one sum. Raises UserError for the size of something else."""
        if self.factor is None and self.kind != "traffic":
            raise UserError(f"ceiling {self}: what training saves is one sum; write traffic:SIZE, or a factor as in 8x")
        return replace(self, kind="traffic")

    def whole(self, maps: Sequence[FeatureMap]) -> int:
        """Bits in fp32 of what the ceiling counts."""
        if self.kind == "live":
            return live_bits(maps, {fmap.name: fmap.bits for fmap in maps})
        return (max if self.kind == "peak" else sum)(fmap.bits for fmap in maps)

    def limit(self, maps: Sequence[FeatureMap]) -> int:
        """Bits that may be stored of all that the ceiling counts."""
        return self.allowed(self.whole(maps))


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
        return Allowance(self.share(fmap, maps), self.bits.widths)

    def share(self, fmap: FeatureMap, maps: Sequence[FeatureMap]) -> int:
        """Bits for one of the `maps`: all of a peak; of traffic, the share that its size has in the sum; of what is in
        memory at once, as much as all that is there with it can have, too (`actbench.live_shares`)."""
        limit = self.ceiling.limit(maps)
        if self.ceiling.kind == "live":
            return live_shares(tuple(maps), limit, self.bits.high)[fmap.name]
        if self.ceiling.kind == "peak":
            return limit
        return limit * fmap.bits // self.ceiling.whole(maps) if self.ceiling.bits else self.ceiling.allowed(fmap.bits)


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
