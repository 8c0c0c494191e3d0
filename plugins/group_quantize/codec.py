"""Groups of values in codes of one width, each group between ends of its own."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from actbench.codec import Codec, FeatureMap, Payload, floating, unsigned
from actbench.info import OptionValue

GROUP = 256
_END_BITS = 16


class GroupCodes(Codec):
    """Stores of each 256 values of an image the lower end l and the range r, in bfloat16, and `width`-bit codes

        code = ⌊(x − l)·(2^width − 1)/r + u⌋        x̂ = l + code·r/(2^width − 1)

    with u uniform in [0, 1), so that x̂ is x on average (stochastic rounding), or u = 1/2:
    `groups·(256·width + 32)` bits.
    """

    def __init__(self, fmap: FeatureMap, width: int, *, stochastic: bool) -> None:
        super().__init__()
        self.shape = (fmap.channels, fmap.height, fmap.width)
        self.width = width
        self.stochastic = stochastic

    @override
    def encode(self, x: Tensor) -> Payload:
        groups = grouped(x.float())
        low, span = ends(groups)
        scaled = (groups - low.float()) * self._levels / span.float().clamp_min(1e-30)
        codes = (scaled + (torch.rand_like(scaled) if self.stochastic else 0.5)).floor().clamp(0, self._levels)
        return Payload(
            codes=unsigned(codes.to(torch.uint8), self.width),
            low=floating(low, side=True),
            span=floating(span, side=True),
        )

    @override
    def decode(self, payload: Payload) -> Tensor:
        step = payload["span"].float() / self._levels
        values = payload["low"].float() + payload["codes"].float() * step
        decoded: Tensor = values.flatten(1)[:, : math.prod(self.shape)].unflatten(1, self.shape)
        return decoded

    @override
    def describe(self) -> dict[str, OptionValue]:
        return {"bits": self.width, "group": GROUP}

    @property
    def _levels(self) -> int:
        return (1 << self.width) - 1


def grouped(x: Tensor) -> Tensor:
    """Values in groups, (batch, …) → (batch, groups, 256), the last group filled up with the last value."""
    flat = x.flatten(1)
    missing = -flat.shape[1] % GROUP
    filled = functional.pad(flat[:, None], (0, missing), mode="replicate")[:, 0]
    groups: Tensor = filled.unflatten(1, (-1, GROUP))
    return groups


def ends(groups: Tensor) -> tuple[Tensor, Tensor]:
    """The lower end and the range of each group, (batch, groups, 1) in bfloat16, such that all values are inside.

    Subnormal values count as zero: the lower end may lie above them, by less than 2^−126.
    """
    low, high = (end[..., None] for end in groups.aminmax(dim=2))
    below = low - low.abs() * 2**-8
    rounded = below.bfloat16()
    span = (high - rounded.float()) * (1 + 2**-7)
    return rounded, span.bfloat16()


def bits_of(fmap: FeatureMap, width: int) -> int:
    """Bits of one image's codes and ends."""
    groups = -(-fmap.elements // GROUP)
    return groups * (GROUP * width + 2 * _END_BITS)
