"""The rung that always fits: a map averaged over rectangles."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from actbench.budget import Allowance
from actbench.codec.bit_strings import Stream, code_type, from_bits, to_bits
from actbench.codec.quantizers import UniformQuantizer
from actbench.codec.rate_control.granules import GRANULE
from actbench.codec.rate_control.rung import Rung
from actbench.errors import Unsupported
from actbench.feature_map import FeatureMap

Area = tuple[int, int]
"""Rows and columns of a rectangle; its rows divide a granule's, so that no average needs the next granule."""


class Pooled(Rung):
    """A rung that stores the map averaged over rectangles of `area` positions, each value in a code of fixed length: it
    always fits.

    `C·⌈H/rows⌉·⌈W/columns⌉·width` bits; an area of 1×1 is the map itself.
    """

    def __init__(self, fmap: FeatureMap, area: Area, quantizer: UniformQuantizer) -> None:
        super().__init__()
        self.channels = fmap.channels
        self.columns = fmap.width
        self.area = area
        self.quantizer = quantizer

    @classmethod
    def fitting(cls, fmap: FeatureMap, sample: Tensor, allowance: Allowance) -> Pooled:
        """Makes the rung with the smallest area for which the narrowest width fits, and the widest width that fits with
        it: squares of 1, 2, 4 or 8 positions a side, then rectangles of 8 rows. Raises Unsupported where not even one
        value for each channel and 8 rows fits."""
        for area in _areas(fmap.width):
            values = fmap.channels * _parts(fmap.height, area[0]) * _parts(fmap.width, area[1])
            fitting = [width for width in allowance.widths if values * width <= allowance.bits]
            if fitting:
                averages = _averaged(sample, area)
                return cls(fmap, area, UniformQuantizer.calibrated(fitting[0], averages, nonnegative=fmap.nonnegative))
        needed = fmap.channels * _parts(fmap.height, GRANULE) * allowance.widths[-1]
        raise Unsupported(
            f"{fmap.name}: one value for each channel and {GRANULE} rows needs {needed} bits; "
            f"{allowance.bits} are left for values"
        )

    @override
    def encode(self, x: Tensor) -> Stream:
        width = self.quantizer.width
        bits = to_bits(self._codes(x).flatten(1).to(code_type(width)), width).flatten(1)
        return Stream(bits.flatten(), torch.full((len(x),), bits.shape[1], device=x.device))

    @override
    def decode(self, stream: Stream, height: int) -> Tensor:
        rows, columns = self.area
        shape = (len(stream.lengths), self.channels, _parts(height, rows), _parts(self.columns, columns))
        codes = from_bits(stream.bits.reshape(*shape, self.quantizer.width), self.quantizer.width)
        return self._repeated(codes, height)

    @override
    def straight_through(self, x: Tensor) -> Tensor:
        return self._repeated(self._codes(x), x.shape[2])

    def _codes(self, x: Tensor) -> Tensor:
        """Codes of the averages (batch, C, ⌈height/rows⌉, ⌈W/columns⌉)."""
        return self.quantizer.encode(_averaged(x.float(), self.area))

    def _repeated(self, codes: Tensor, height: int) -> Tensor:
        """The map (batch, C, height, W) that codes of averages stand for."""
        rows, columns = self.area
        values = self.quantizer.decode(codes.float()).to(self.quantizer.high.dtype)
        repeated = functional.interpolate(values, scale_factor=(float(rows), float(columns)), mode="nearest")
        return repeated[:, :, :height, : self.columns]


def _areas(columns: int) -> Iterator[Area]:
    """Yields areas, each at least twice the one before, up to one of a granule's rows and all columns."""
    side = 1
    while side < 2 * max(columns, GRANULE):
        yield min(side, GRANULE), side
        side *= 2


def _parts(size: int, side: int) -> int:
    return -(-size // side)


def _averaged(x: Tensor, area: Area) -> Tensor:
    """Averages over rectangles; those at the edges are as large as what is there."""
    return functional.avg_pool2d(x, area, ceil_mode=True, count_include_pad=False)
