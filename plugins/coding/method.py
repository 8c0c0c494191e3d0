"""One method for each code: the finest quantiser whose coded map fits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from typing_extensions import override

from actbench.codec import Allowance, FeatureMap, MapStatistics, UniformQuantizer
from actbench.codec.bit_strings import Stream, code_type
from actbench.codec.rate_control import LadderMethod, Rung
from actbench.info import OptionValue
from actbench_plugins.coding.bit_plane import BitPlane
from actbench_plugins.coding.coder import Coder
from actbench_plugins.coding.exponential_golomb import SparseExponentialGolomb
from actbench_plugins.coding.run_length import RunLength
from actbench_plugins.coding.sparse_column import SparseColumn
from actbench_plugins.coding.zero_value import ZeroValue

_IMAGES = 32
"""Images of the calibration sample to which a code's parameters are fitted."""


class CodedMap(Rung):
    """Granules of a map in quantiser codes, written by a lossless coder."""

    def __init__(self, fmap: FeatureMap, quantizer: UniformQuantizer, coder: Coder) -> None:
        super().__init__()
        self.channels, self.columns = fmap.channels, fmap.width
        self.quantizer = quantizer
        self.coder = coder

    @override
    def encode(self, x: Tensor) -> Stream:
        return self.coder.encode(quantised(self.quantizer, x), self.quantizer.width)

    @override
    def decode(self, stream: Stream, height: int) -> Tensor:
        shape = (self.channels, height, self.columns)
        codes = self.coder.decode(stream, math.prod(shape), self.quantizer.width)
        return self._values(codes).reshape(-1, *shape)

    @override
    def straight_through(self, x: Tensor) -> Tensor:
        return self._values(self.quantizer.encode(x))

    @override
    def lengths(self, x: Tensor) -> Tensor:
        return self.coder.lengths(quantised(self.quantizer, x), self.quantizer.width)

    @override
    def most_bits(self, x: Tensor) -> Tensor:
        return self.coder.counted_lengths(quantised(self.quantizer, x), self.quantizer.width)

    @override
    def describe(self) -> dict[str, OptionValue]:
        return {"bits": self.quantizer.width, **self.coder.describe()}

    def _values(self, codes: Tensor) -> Tensor:
        return self.quantizer.decode(codes.float()).to(self.quantizer.high.dtype)


class Coding(LadderMethod):
    """Plans the widest codes whose lossless coding fits on the calibration images; images that need them take coarser
    ones."""

    coder: Coder

    @override
    def families(self, fmap: FeatureMap, stats: MapStatistics, allowance: Allowance) -> Sequence[Sequence[Rung]]:
        return [[self._coded(fmap, stats.after.sample, width) for width in allowance.widths]]

    def _coded(self, fmap: FeatureMap, sample: Tensor, width: int) -> CodedMap:
        quantizer = UniformQuantizer.calibrated(width, sample, nonnegative=fmap.nonnegative)
        return CodedMap(fmap, quantizer, self.coder.fitted(quantised(quantizer, sample[:_IMAGES]), width))


def quantised(quantizer: UniformQuantizer, x: Tensor) -> Tensor:
    """Integer codes of values: (batch, C, height, W) → (batch, C·height·W)."""
    with torch.no_grad():
        return quantizer.encode(x).flatten(1).to(code_type(quantizer.width))


class ZeroValueCoding(Coding):
    """Zero-value coding, `zvc`."""

    coder = ZeroValue()


class RunLengthCoding(Coding):
    """Zero run-length coding, `rle`."""

    coder = RunLength()


class SparseColumnCoding(Coding):
    """Coding in sparse columns, `csc`."""

    coder = SparseColumn()


class BitPlaneCoding(Coding):
    """Extended bit-plane coding, `ebpc`."""

    def __init__(self, options: Mapping[str, OptionValue]) -> None:
        super().__init__(options)
        self.coder = BitPlane(lowest_is_base=options.get("plane") == "authors")


class ExponentialGolombCoding(Coding):
    """Sparse exponential Golomb coding, `seg`."""

    coder = SparseExponentialGolomb()
