"""FATReLU: which threshold and width each map has."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor
from typing_extensions import override

from actbench import UserError
from actbench.codec import Allowance, Codec, FeatureMap, MapStatistics, PlainCodec, UniformQuantizer, Unsupported
from actbench.codec.bit_strings import Stream, code_type, zero_value_decode, zero_value_encode, zero_value_lengths
from actbench.codec.quantizers import at_least_fp32
from actbench.codec.rate_control import MARGIN, Ladder, LadderMethod, Rung
from actbench.info import OptionValue
from actbench.recipe import PROTOCOL_RECIPE, Recipe, RecipeName

SHARES = (1.0, 0.9, 0.75, 0.5, 0.25, 0.1)
"""Shares of the non-zero values that a plan has room for: what each rung's threshold leaves on calibration images."""

_IMAGES = 256
"""Images of the calibration sample on which thresholds are searched."""

_TINY = 1e-30


class ThresholdedMap(Rung):
    """Stores `x·[x ≥ T]` in quantiser codes, by zero-value coding: `C·H·W + width·non-zeros` bits."""

    threshold: Tensor

    def __init__(self, fmap: FeatureMap, threshold: float, quantizer: UniformQuantizer) -> None:
        super().__init__()
        self.channels, self.columns = fmap.channels, fmap.width
        self.quantizer = quantizer
        self.register_buffer("threshold", torch.tensor(threshold))

    @override
    def encode(self, x: Tensor) -> Stream:
        return zero_value_encode(self._codes(x), self.quantizer.width)

    @override
    def decode(self, stream: Stream, height: int) -> Tensor:
        shape = (self.channels, height, self.columns)
        codes = zero_value_decode(stream, math.prod(shape), self.quantizer.width)
        return self._values(codes).reshape(-1, *shape)

    @override
    def straight_through(self, x: Tensor) -> Tensor:
        return self._values(self.quantizer.encode(self._kept(x)))

    @override
    def lengths(self, x: Tensor) -> Tensor:
        return zero_value_lengths(self._codes(x), self.quantizer.width)

    @override
    def describe(self) -> dict[str, OptionValue]:
        return {"bits": self.quantizer.width, "threshold": round(float(self.threshold), 6)}

    @torch.no_grad()
    def _codes(self, x: Tensor) -> Tensor:
        codes: Tensor = self.quantizer.encode(self._kept(x))
        return codes.flatten(1).to(code_type(self.quantizer.width))

    def _kept(self, x: Tensor) -> Tensor:
        """FATReLU; its gradient is 1 from T on, and 0 below."""
        return x * (x >= self.threshold)

    def _values(self, codes: Tensor) -> Tensor:
        return self.quantizer.decode(codes.float()).to(self.quantizer.high.dtype)


class ThresholdedLadder(Ladder):
    """Thresholds of which each image takes the least that fits. Training can make maps sparse with the Hoyer
    regulariser, `(Σ|x|)² / Σx²`: 1 where one value is not zero, C·H·W where all are alike."""

    def penalty(self, x: Tensor) -> Tensor:
        """The regulariser of a batch (batch, C, H, W), its mean over images; 0 for a map of zeros."""
        values = at_least_fp32(x).flatten(1)
        return (values.abs().sum(1).square() / values.square().sum(1).clamp_min(_TINY)).mean()


class ThresholdedCoding(LadderMethod):
    """Finds for each width the least threshold that leaves as many non-zero values as fit, and takes the pair with the
    least error. Images that do not fit take a higher threshold at the same width."""

    @override
    def recipe(self, name: RecipeName) -> Recipe:
        weight = float(self.options["hoyer"])
        if weight < 0:
            raise UserError(f"fatrelu.hoyer={weight}: give a weight of at least 0")
        return replace(PROTOCOL_RECIPE, penalty=weight)

    @override
    def codec(self, fmap: FeatureMap, stats: MapStatistics, allowance: Allowance) -> Codec:
        if fmap.nonnegative:
            planned = cast(Ladder, super().codec(fmap, stats, allowance))
            return ThresholdedLadder(planned.rungs, planned.allowed, planned.height)
        width = allowance.plain_width(fmap)
        if width is None:
            raise Unsupported(f"{fmap.name} has negative values: FATReLU takes the place of a ReLU")
        return PlainCodec.calibrated(fmap, stats, width)

    @override
    def families(self, fmap: FeatureMap, stats: MapStatistics, allowance: Allowance) -> Sequence[Sequence[Rung]]:
        sample = stats.after.sample
        ordered = sample[:_IMAGES].flatten(1).sort(1, descending=True).values
        return [_rungs(fmap, sample, ordered, width, allowance.bits) for width in allowance.widths]


def _rungs(fmap: FeatureMap, sample: Tensor, ordered: Tensor, width: int, bits: int) -> list[Rung]:
    """Rising thresholds at one width; none where the bit-map alone does not fit."""
    nonzeros = (bits / MARGIN - fmap.elements) / width
    if nonzeros < 0:
        return []
    quantizer = UniformQuantizer.calibrated(width, sample, nonnegative=True)
    thresholds = [least_threshold(ordered, int(nonzeros * share)) for share in SHARES]
    return [ThresholdedMap(fmap, threshold, quantizer) for threshold in thresholds]


def least_threshold(ordered: Tensor, most: int) -> float:
    """The least T ≥ 0 for which no image has more than `most` values ≥ T. `ordered` (images, n), falling."""
    if most >= ordered.shape[1]:
        return 0.0
    dropped = ordered[:, most].max()
    return float(torch.nextafter(dropped, dropped.new_tensor(torch.inf))) if dropped > 0 else 0.0
