"""A map as its low frequencies, means over blocks, and its high ones, what these leave."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from actbench.codec import Codec, FeatureMap, Payload, PlainCodec, floating, unsigned
from actbench.info import OptionValue

GROUP = 256
END_BITS = 16
_TINY = 1e-30


class DividedMap(Codec):
    """Stores of each image the means over blocks of b×b positions, smaller at the borders, plainly, as `means` does,
    and of the residual r, what the decoded means leave, codes of `width` bits in groups of 256 values:

        code = ⌊(r − l)·(2^width − 1)/s + u⌋        x̂ = mean + l + code·s/(2^width − 1)

    with u uniform in [0, 1), so that x̂ is x on average (stochastic rounding). Each group has its lower end l and its
    range s, in bfloat16.
    """

    def __init__(self, fmap: FeatureMap, block: int, means: PlainCodec, width: int) -> None:
        super().__init__()
        self.shape = (fmap.channels, fmap.height, fmap.width)
        self.block = block
        self.means = means
        self.width = width

    @override
    def encode(self, x: Tensor) -> Payload:
        means = self.means.encode(block_means(x, self.block))
        residual = (x.float() - self._low_frequencies(means).float()).flatten(1)
        groups = grouped(residual)
        low, span = ends(groups)
        scaled = (groups - low.float()) * (self._levels / span.float().clamp_min(_TINY))
        codes = (scaled + torch.rand_like(scaled)).floor().clamp(0, self._levels)
        # The codes' type tells `decode` the map's; half precision holds codes exactly up to 8 bits.
        codes = codes.flatten(1)[:, : residual.shape[1]].to(x.dtype if self.width <= 8 else torch.float32)
        return Payload(
            **means.fields,
            rest=unsigned(codes, self.width),
            low=floating(low[..., 0], side=True),
            span=floating(span[..., 0], side=True),
        )

    @override
    def decode(self, payload: Payload) -> Tensor:
        low, span, codes = payload["low"].float(), payload["span"].float(), payload["rest"]
        groups = low[..., None] + grouped(codes.float()) * (span[..., None] / self._levels)
        residual = groups.flatten(1)[:, : codes.shape[1]].reshape(-1, *self.shape)
        return (self._low_frequencies(payload).float() + residual).to(codes.dtype)

    @override
    def describe(self) -> dict[str, OptionValue]:
        return {"block": self.block, "bits of the means": self.means.width, "bits of the rest": self.width}

    @property
    def _levels(self) -> int:
        return (1 << self.width) - 1

    def _low_frequencies(self, payload: Payload) -> Tensor:
        """The map that the stored means alone stand for: each fills its block."""
        means = self.means.decode(payload)
        whole = means.repeat_interleave(self.block, 2).repeat_interleave(self.block, 3)
        return whole[:, :, : self.shape[1], : self.shape[2]]


def stored_bits(fmap: FeatureMap, block: int, width_of_means: int, width: int) -> int:
    """Bits of an image: `width_of_means·C·⌈H/b⌉·⌈W/b⌉ + width·n + 32·⌈n/256⌉` for n values."""
    means = fmap.channels * -(-fmap.height // block) * -(-fmap.width // block)
    return width_of_means * means + width * fmap.elements + 2 * END_BITS * math.ceil(fmap.elements / GROUP)


def block_means(x: Tensor, block: int) -> Tensor:
    """Means (batch, C, ⌈H/b⌉, ⌈W/b⌉) over blocks of b×b positions, smaller at the borders."""
    return functional.avg_pool2d(x, block, ceil_mode=True, count_include_pad=False)


def grouped(x: Tensor) -> Tensor:
    """The values of each image in groups, (batch, n) → (batch, groups, 256), the last group filled up with the last
    value."""
    missing = -x.shape[1] % GROUP
    filled = torch.cat([x, x[:, -1:].expand(-1, missing)], 1)
    groups: Tensor = filled.unflatten(1, (-1, GROUP))
    return groups


def ends(groups: Tensor) -> tuple[Tensor, Tensor]:
    """The lower end and the range of each group, (batch, groups, 1) in bfloat16, such that all values are inside."""
    low, high = groups.aminmax(dim=2, keepdim=True)
    rounded = (low - low.abs() * 2**-8).bfloat16()
    span = (high - rounded.float()) * (1 + 2**-7)
    return rounded, span.bfloat16()
