"""Storage of a map as it is: what is left where a method does nothing with it."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from actbench.codec.codec import Folded
from actbench.codec.modules import pointwise
from actbench.codec.payload import Payload, floating, unsigned
from actbench.codec.quantizers import UniformQuantizer
from actbench.codec.rows import RowCodec
from actbench.codec.statistics import MapStatistics
from actbench.feature_map import FLOAT_BITS, FeatureMap
from actbench.info import OptionValue


class PlainCodec(RowCodec):
    """A codec that stores a map as it is: in fp32 without a quantiser, or each value as one code of a clipped uniform
    one."""

    def __init__(self, quantizer: UniformQuantizer | None) -> None:
        super().__init__()
        self.quantizer = quantizer

    @classmethod
    def calibrated(cls, fmap: FeatureMap, stats: MapStatistics, width: int) -> PlainCodec:
        """Makes the codec of `width` bits a value, with the clip of least squared error on the calibration sample of
        `stats`; `width` 32 means no quantisation.

        Example:
            >>> fmap, sample = FeatureMap("conv2", 2, 4, 4, "conv1", ()), torch.randn(8, 2, 4, 4)
            >>> codec = PlainCodec.calibrated(fmap, MapStatistics.of(sample), 4)
            >>> codec.encode(sample).bits_per_image()[0], codec(sample).shape
            (tensor(128), torch.Size([8, 2, 4, 4]))
        """
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

    @property
    def width(self) -> int:
        """The width of every code; 32 without a quantiser."""
        return FLOAT_BITS if self.quantizer is None else self.quantizer.width

    def clip_channels(self, x: Tensor) -> None:
        """Gives each channel of a batch x its clip of least squared error."""
        if self.quantizer is not None:
            self.quantizer.clip_channels(x)

    @override
    def describe(self) -> dict[str, OptionValue]:
        return {"bits": self.width}


class RefittedPlainCodec(PlainCodec):
    """Plain codes that a linear step over channels decodes, `x̂ = W q`: W (C, C) takes back, as far as it is linear,
    what compressed maps before this one did to it. It is for maps of which all readers can take W in."""

    def __init__(self, quantizer: UniformQuantizer | None, channels: int) -> None:
        super().__init__(quantizer)
        self.decoder = pointwise(torch.eye(channels))

    def read(self, x: Tensor) -> Tensor:
        """What W reads of a batch x."""
        return super().decode(self.encode(x))

    @override
    def decode(self, payload: Payload) -> Tensor:
        decoded: Tensor = self.decoder(super().decode(payload))
        return decoded

    @override
    def fold(self) -> Folded:
        return Folded(PlainCodec(self.quantizer), expand=self.decoder)

    @override
    def describe(self) -> dict[str, OptionValue]:
        return super().describe() | {"decoder": "refitted"}
