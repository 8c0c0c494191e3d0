"""The rung that always fits: a map averaged over squares."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from actbench.budget import Allowance
from actbench.codec.bit_strings import Stream, code_type, from_bits, to_bits
from actbench.codec.quantizers import UniformQuantizer
from actbench.codec.rate_control.ladder import Rung
from actbench.errors import Unsupported
from actbench.feature_map import FeatureMap


class Pooled(Rung):
    """A rung that stores the map averaged over squares of `side`×`side` positions, each value in a code of fixed
    length: it always fits.

    `C·⌈H/side⌉·⌈W/side⌉·width` bits; side 1 is the map itself.
    """

    def __init__(self, fmap: FeatureMap, side: int, quantizer: UniformQuantizer) -> None:
        super().__init__()
        self.shape = (fmap.channels, *_pooled_size(fmap, side))
        self.size = (fmap.height, fmap.width)
        self.side = side
        self.quantizer = quantizer

    @classmethod
    def fitting(cls, fmap: FeatureMap, sample: Tensor, allowance: Allowance) -> Pooled:
        """Makes the rung with the smallest squares for which the narrowest width fits, and the widest width that fits
        with them. Raises Unsupported where not even one value a channel fits."""
        for side in range(1, max(fmap.height, fmap.width) + 1):
            height, width = _pooled_size(fmap, side)
            fitting = [w for w in allowance.widths if fmap.channels * height * width * w <= allowance.bits]
            if fitting:
                pooled = functional.adaptive_avg_pool2d(sample, (height, width))
                return cls(fmap, side, UniformQuantizer.calibrated(fitting[0], pooled, nonnegative=fmap.nonnegative))
        needed = fmap.channels * allowance.widths[-1]
        raise Unsupported(f"{fmap.name}: one value a channel needs {needed} bits; {allowance.bits} are left for values")

    @override
    def encode(self, x: Tensor) -> Stream:
        averaged = functional.adaptive_avg_pool2d(x.float(), self.shape[1:])
        width = self.quantizer.width
        bits = to_bits(self.quantizer.encode(averaged).flatten(1).to(code_type(width)), width).flatten(1)
        return Stream(bits.flatten(), torch.full((len(x),), bits.shape[1], device=x.device))

    @override
    def decode(self, stream: Stream) -> Tensor:
        count = self.shape[0] * self.shape[1] * self.shape[2]
        codes = from_bits(stream.bits.reshape(len(stream.lengths), count, self.quantizer.width), self.quantizer.width)
        values = self.quantizer.decode(codes.float()).to(self.quantizer.high.dtype)
        repeated = functional.interpolate(values.unflatten(1, self.shape), scale_factor=self.side, mode="nearest")
        return repeated[:, :, : self.size[0], : self.size[1]]


def _pooled_size(fmap: FeatureMap, side: int) -> tuple[int, int]:
    return -(-fmap.height // side), -(-fmap.width // side)
