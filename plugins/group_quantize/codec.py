"""Groups of values in codes between ends of their own, each group in codes of a width of its own."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from actbench.codec import Codec, FeatureMap, Payload, floating, unsigned
from actbench.info import OptionValue
from actbench_plugins.group_quantize.widths import COUNT_BITS, GROUP, WIDTH_BITS, Rule


class GroupCodes(Codec):
    """Stores of each 256 values of a batch the width w of their codes in 4 bits, the lower end l in bfloat16, and where
    w > 0 the range r in bfloat16 and codes

        code = ⌊(x − l)·(2^w − 1)/r + u⌋        x̂ = l + code·r/(2^w − 1)

    with u uniform in [0, 1), so that x̂ is x on average (stochastic rounding), or u = 1/2. A group without codes is
    decoded to l, which then is its mean. `rule` gives out the widths of every batch anew, so that it has at most `most`
    bits an image.
    """

    def __init__(self, fmap: FeatureMap, most: int, rule: Rule) -> None:
        super().__init__()
        self.shape = (fmap.channels, fmap.height, fmap.width)
        self.most = most
        self.rule = rule

    @override
    def encode(self, x: Tensor) -> Payload:
        groups = grouped(x.float())
        low, span = ends(groups)
        widths = self.rule.widths(self.rule.errors(groups, span), self.most * len(x))
        low = torch.where(widths[:, None] > 0, low, groups.mean(1, keepdim=True).bfloat16())
        count = torch.tensor([[len(x)]], device=x.device)
        stored = {
            "images": unsigned(count, COUNT_BITS, side=True),
            "widths": unsigned(widths[None], WIDTH_BITS, side=True),
            "low": floating(low[None], side=True),
            "span": floating(span[widths > 0][None], side=True),
        }
        for width in self.rule.coded:
            chosen = widths == width
            codes = self._codes(groups[chosen], low[chosen].float(), span[chosen].float(), width)
            stored |= {f"codes{width}": unsigned(codes[None], width)} if len(codes) else {}
        return Payload(**stored)

    @override
    def decode(self, payload: Payload) -> Tensor:
        widths = payload["widths"][0]
        values = payload["low"][0].float().repeat(1, GROUP)
        spans = payload["span"].new_zeros(len(widths), 1)
        spans[widths > 0] = payload["span"][0]
        for width in self.rule.coded:
            if f"codes{width}" in payload:
                chosen = widths == width
                values[chosen] += payload[f"codes{width}"][0].float() * (spans[chosen].float() / _levels(width))
        images = int(payload["images"])
        return values.flatten()[: images * _product(self.shape)].reshape(images, *self.shape)

    @override
    def describe(self) -> dict[str, OptionValue]:
        return {"bits of a value": round(self.most / _product(self.shape), 3), "group": GROUP}

    def _codes(self, groups: Tensor, low: Tensor, span: Tensor, width: int) -> Tensor:
        scaled = (groups - low) * _levels(width) / span.clamp_min(1e-30)
        rounding = torch.rand_like(scaled) if self.rule.stochastic else 0.5
        return (scaled + rounding).floor().clamp(0, _levels(width)).to(torch.uint8)


def grouped(x: Tensor) -> Tensor:
    """The values of a batch in groups, (batch, …) → (groups, 256), the last group filled up with the last value."""
    flat = x.flatten()
    missing = -len(flat) % GROUP
    filled = functional.pad(flat[None, None], (0, missing), mode="replicate")[0, 0] if missing else flat
    groups: Tensor = filled.unflatten(0, (-1, GROUP))
    return groups


def ends(groups: Tensor) -> tuple[Tensor, Tensor]:
    """The lower end and the range of each group, (groups, 1) in bfloat16, such that all values are inside.

    Subnormal values count as zero: the lower end may lie above them, by less than 2^−126.
    """
    low, high = (end[..., None] for end in groups.aminmax(dim=1))
    below = low - low.abs() * 2**-8
    rounded = below.bfloat16()
    span = (high - rounded.float()) * (1 + 2**-7)
    return rounded, span.bfloat16()


def _levels(width: int) -> int:
    return (1 << width) - 1


def _product(shape: tuple[int, int, int]) -> int:
    return shape[0] * shape[1] * shape[2]
