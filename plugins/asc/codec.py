"""A block's two end points, and for each of its values a point between them, on one of two scales."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from actbench.codec import FeatureMap, Payload, StraightThroughCodec, UniformQuantizer, unsigned
from actbench.info import OptionValue
from actbench_plugins.asc.blocks import SIDE, counts, divide, join


class EndPointCodec(StraightThroughCodec):
    """Stores of each block its least and its largest value, e bits each, one bit that chooses a scale, and of every
    value the nearest of `2^i` points between the two, `x̂ = low + t·(high − low)`:

        linear: t = j / (2^i − 1)        logarithmic: t = 0, and 2^(j + 1 − 2^i) for j > 0

    `blocks·(2e + 1 + 16·depth·i)` bits, static; what fills blocks up is stored.
    """

    def __init__(self, fmap: FeatureMap, depth: int, index_bits: int, ends: UniformQuantizer) -> None:
        super().__init__()
        self.channels, self.columns = fmap.channels, fmap.width
        self.depth = depth
        self.index_bits = index_bits
        self.ends = ends.requires_grad_(False)

    @property
    def rows(self) -> int:
        """The rows of a block."""
        return SIDE

    @override
    def decode_codes(self, payload: Payload) -> Tensor:
        low, high = (self.ends.decode(payload[name].float())[..., None] for name in ("low", "high"))
        index = payload["index"].int() + (payload["scale"].int() << self.index_bits)[..., None]
        share = self._points(low.device).flatten().index_select(0, index.flatten()).view_as(index)
        shape = (self.channels, payload["rows"].shape[1], self.columns)  # `rows` is empty: its shape is what it says
        return join(share.mul_(high - low).add_(low), shape).to(payload["index"].dtype)

    @override
    def describe(self) -> dict[str, OptionValue]:
        return {"index": self.index_bits, "ends": self.ends.width, "channels": self.depth}

    @override
    @torch.no_grad()
    def encode_codes(self, x: Tensor) -> Payload:
        blocks = divide(x.float(), self.depth)
        codes = [self.ends.encode(end) for end in blocks.aminmax(dim=4)]
        low, high = (self.ends.decode(code)[..., None] for code in codes)
        share = (blocks - low) / (high - low).clamp_min(1e-30)
        points = self._points(x.device)
        indices = [_nearest(share, each) for each in points]
        errors = [(points[number][index] - share).square().sum(4) for number, index in enumerate(indices)]
        scale = errors[1] < errors[0]
        index = torch.where(scale[..., None], indices[1], indices[0])
        return Payload(
            rows=unsigned(x.new_empty(x.shape[0], x.shape[2], 0), 1),
            low=unsigned(codes[0], self.ends.width, side=True),
            high=unsigned(codes[1], self.ends.width, side=True),
            scale=unsigned(scale.to(torch.uint8), 1, side=True),
            index=unsigned(index.to(x.dtype), self.index_bits),
        )

    def _points(self, device: torch.device) -> Tensor:
        """The points of either scale (2, 2^i), rising from 0 to 1."""
        number = torch.arange(1 << self.index_bits, device=device).float()
        last = (1 << self.index_bits) - 1
        logarithmic = torch.where(number > 0, torch.exp2(number - last), 0)
        return torch.stack([number / last, logarithmic])


def stored_bits(fmap: FeatureMap, depth: int, index_bits: int, end_bits: int) -> int:
    """The bits of one image."""
    groups, rows, columns = counts(fmap.channels, fmap.height, fmap.width, depth)
    return groups * rows * columns * (2 * end_bits + 1 + SIDE * SIDE * depth * index_bits)


def calibrated(fmap: FeatureMap, sample: Tensor, depth: int, index_bits: int, end_bits: int) -> EndPointCodec:
    """The codec whose end points have the clip of least squared error on a sample of them."""
    ends = torch.cat([end.flatten() for end in divide(sample, depth).aminmax(dim=4)])
    quantizer = UniformQuantizer.calibrated(end_bits, ends, nonnegative=fmap.nonnegative)
    return EndPointCodec(fmap, depth, index_bits, quantizer)


def _nearest(share: Tensor, points: Tensor) -> Tensor:
    """The number of the nearest of rising points."""
    return torch.bucketize(share.contiguous(), (points[1:] + points[:-1]) / 2, out_int32=True)
