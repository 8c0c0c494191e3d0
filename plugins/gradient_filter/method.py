"""Inputs averaged over squares, in codes or in the map's own type."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional
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
)
from actbench.feature_map import FLOAT_BITS
from actbench.info import OptionValue


class PooledInput(Codec):
    """Means over r×r squares, smaller at the borders: `C·⌈H/r⌉·⌈W/r⌉` values, stored plainly, as `means` does; decoded,
    each fills its square."""

    def __init__(self, fmap: FeatureMap, squares: int, means: PlainCodec) -> None:
        super().__init__()
        self.size = (fmap.height, fmap.width)
        self.squares = squares
        self.means = means

    @classmethod
    def calibrated(cls, fmap: FeatureMap, squares: int, width: int, sample: Tensor) -> PooledInput:
        """The codec whose clip has the least squared error on the means of a sample; `width` 32 means no
        quantisation."""
        if width == FLOAT_BITS:
            return cls(fmap, squares, PlainCodec(None))
        quantizer = UniformQuantizer.calibrated(width, pooled(sample, squares), nonnegative=fmap.nonnegative)
        return cls(fmap, squares, PlainCodec(quantizer))

    @override
    def encode(self, x: Tensor) -> Payload:
        return self.means.encode(pooled(x, self.squares))

    @override
    def decode(self, payload: Payload) -> Tensor:
        means = self.means.decode(payload)
        whole = functional.interpolate(means, scale_factor=float(self.squares), mode="nearest")
        return whole[:, :, : self.size[0], : self.size[1]]

    @override
    def describe(self) -> dict[str, OptionValue]:
        return {"squares": self.squares} | self.means.describe()


class GradientFilter(Method):
    """Takes for each width the smallest squares that fit, and of these the ones with the least squared error on the
    calibration sample. The gradient of the weight is that of the averaged input; the gradient to the input is exact,
    where the paper's is of averages too, to save computation."""

    @override
    def saving(self, fmap: FeatureMap, stats: MapStatistics, allowance: Allowance) -> Codec:
        widths = (FLOAT_BITS,) if self.options["means"] == "fp32" else allowance.widths
        squares = {width: smallest_squares(fmap, allowance.bits // width) for width in widths}
        if not any(squares.values()):
            needed = fmap.channels * widths[-1]
            raise Unsupported(f"{fmap.name}: one mean a channel needs {needed} bits; {allowance.bits} are allowed")
        sample = stats.after.sample
        fitting = [PooledInput.calibrated(fmap, side, width, sample) for width, side in squares.items() if side]
        with torch.no_grad():
            return min(fitting, key=lambda codec: float((codec(sample) - sample).double().square().sum()))


def pooled(x: Tensor, squares: int) -> Tensor:
    """Means (batch, C, ⌈H/r⌉, ⌈W/r⌉) over squares of r×r positions, smaller at the borders."""
    return functional.avg_pool2d(x, squares, ceil_mode=True, count_include_pad=False)


def smallest_squares(fmap: FeatureMap, most: int) -> int | None:
    """The side of the smallest squares with at most `most` means, None where not even one for each channel fits."""
    sides = range(1, max(fmap.height, fmap.width) + 1)
    means = ((side, fmap.channels * -(-fmap.height // side) * -(-fmap.width // side)) for side in sides)
    return next((side for side, count in means if count <= most), None)
