"""The largest values of each image, in codes or in the map's own type, and where they are."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from actbench.codec import (
    Allowance,
    Codec,
    FeatureMap,
    MapStatistics,
    Method,
    Payload,
    PlainCodec,
    UniformQuantizer,
    Unsupported,
    unsigned,
)
from actbench.codec.bit_strings import true_positions
from actbench.feature_map import FLOAT_BITS
from actbench.info import OptionValue


class LargestValues(Codec):
    """Stores of each image a mask of one bit for each of its n values, and the `count` values of largest magnitude in
    their order, plainly, as `values` does: `n + width·count` bits. All other values are decoded to zero."""

    def __init__(self, fmap: FeatureMap, count: int, values: PlainCodec) -> None:
        super().__init__()
        self.shape = (fmap.channels, fmap.height, fmap.width)
        self.count = count
        self.values = values

    @classmethod
    def calibrated(cls, fmap: FeatureMap, count: int, width: int, sample: Tensor) -> LargestValues:
        """The codec whose clip has the least squared error on the largest values of a sample; `width` 32 means no
        quantisation."""
        if width == FLOAT_BITS:
            return cls(fmap, count, PlainCodec(None))
        flat = sample.flatten(1)
        kept = flat.gather(1, largest(flat, count))
        quantizer = UniformQuantizer.calibrated(width, kept, nonnegative=fmap.nonnegative)
        return cls(fmap, count, PlainCodec(quantizer))

    @override
    def encode(self, x: Tensor) -> Payload:
        flat = x.flatten(1)
        positions = largest(flat, self.count)
        mask = torch.zeros_like(flat, dtype=torch.uint8).scatter_(1, positions, 1)
        stored = self.values.encode(flat.gather(1, positions)).fields
        return Payload(mask=unsigned(mask, 1, side=True), **stored)

    @override
    def decode(self, payload: Payload) -> Tensor:
        values, mask = self.values.decode(payload), payload["mask"]
        x = values.new_zeros(mask.numel()).index_copy(0, true_positions(mask), values.flatten())
        return x.reshape(-1, *self.shape)

    @override
    def describe(self) -> dict[str, OptionValue]:
        return {"values": self.count} | self.values.describe()


class TopK(Method):
    """Takes for each width as many values as fit beside the mask, and of these choices the one with the least squared
    error on the calibration sample."""

    @override
    def saving(self, fmap: FeatureMap, stats: MapStatistics, allowance: Allowance) -> Codec:
        widths = (FLOAT_BITS,) if self.options["values"] == "fp32" else allowance.widths
        left = allowance.bits - fmap.elements
        counts = {width: min(left // width, fmap.elements) for width in widths if left >= width}
        if not counts:
            needed = fmap.elements + widths[-1]
            raise Unsupported(f"{fmap.name}: a mask and one value need {needed} bits; {allowance.bits} are allowed")
        sample = stats.after.sample
        fitting = [LargestValues.calibrated(fmap, count, width, sample) for width, count in counts.items()]
        with torch.no_grad():
            return min(fitting, key=lambda codec: float((codec(sample) - sample).double().square().sum()))


def largest(x: Tensor, count: int) -> Tensor:
    """Positions (batch, count) of each row's values of largest magnitude in x (batch, n), in rising order."""
    return x.detach().abs().topk(count, sorted=False).indices.sort(1).values
