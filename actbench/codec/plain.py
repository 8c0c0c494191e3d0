"""A map stored as it is: what is left where a method does nothing with it."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from actbench.codec.codec import Codec
from actbench.codec.payload import Payload, floating, unsigned
from actbench.codec.quantizers import UniformQuantizer
from actbench.codec.statistics import MapStatistics
from actbench.feature_map import FLOAT_BITS, FeatureMap
from actbench.info import OptionValue


class PlainCodec(Codec):
    """A map stored as it is: fp32, or each value as one code of a clipped uniform quantiser."""

    def __init__(self, quantizer: UniformQuantizer | None) -> None:
        super().__init__()
        self.quantizer = quantizer

    @classmethod
    def calibrated(cls, fmap: FeatureMap, stats: MapStatistics, width: int) -> PlainCodec:
        """With the clip of least squared error on the calibration sample; `width` 32 means no quantisation."""
        if width == FLOAT_BITS:
            return cls(None)
        return cls(UniformQuantizer.calibrated(width, stats.after.sample, nonnegative=fmap.nonnegative))

    @override
    def encode(self, x: Tensor) -> Payload:
        if self.quantizer is None:
            return Payload(values=floating(x))
        return Payload(codes=unsigned(self.quantizer.encode(x), self.quantizer.width))

    @override
    def decode(self, payload: Payload) -> Tensor:
        return payload["values"] if self.quantizer is None else self.quantizer.decode(payload["codes"])

    @override
    def describe(self) -> dict[str, OptionValue]:
        return {"bits": FLOAT_BITS if self.quantizer is None else self.quantizer.width}
