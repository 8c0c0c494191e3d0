"""What it costs to drop principal components, to quantise them, or to quantise the map as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from actbench.codec import FeatureMap, MapStatistics, PlainCodec, UniformQuantizer
from actbench.codec.principal_components import Components
from actbench.feature_map import FLOAT_BITS

_IMAGES = 16
"""Images of the calibration sample on which the errors of quantisers are measured."""

_LEAST_VARIANCE = 1e-30
"""What a map without variance has its error divided by."""


@dataclass(frozen=True)
class Distortion:
    """Predicted relative error of K components in b bits: `Σ_{i≥K} w_i + d(b)·Σ_{i<K} w_i`, with `w_i = λ_i / Σ λ`.

    `weights` (C,): each component's part of the variance; `quantisation`: d, the error of a component of variance 1.
    """

    weights: Tensor
    quantisation: Mapping[int, float]

    @classmethod
    def of(cls, components: Components, sample: Tensor, widths: Sequence[int]) -> Distortion:
        """The distortion of all components, with quantisers calibrated on `sample`."""
        weights = components.energy / components.energy.sum().clamp_min(_LEAST_VARIANCE)
        return cls(weights, quantisation_errors(components, sample, widths))

    def __call__(self, rank: int, width: int) -> float:
        kept = float(self.weights[:rank].sum())
        return max(0.0, 1 - kept) + self.quantisation[width] * kept


def quantisation_errors(components: Components, sample: Tensor, widths: Sequence[int]) -> dict[int, float]:
    """The error d(b) of each width: the mean square of what its calibrated quantiser errs on components of `sample`."""
    z = components.of_images(sample[:_IMAGES])
    quantizers = {width: UniformQuantizer.calibrated(width, z) for width in widths if width != FLOAT_BITS}
    with torch.no_grad():
        measured = {width: float((quantizer(z) - z).square().mean()) for width, quantizer in quantizers.items()}
    return {width: measured.get(width, 0.0) for width in widths}


def plain_errors(fmap: FeatureMap, stats: MapStatistics, widths: Sequence[int]) -> dict[int, float]:
    """The relative error of the map as it is read, in codes of each width: mean squared error over variance."""
    sample = stats.after.sample[:_IMAGES]
    variance = float(stats.after.covariance.trace()) / fmap.channels
    errors = {}
    for width in widths:
        with torch.no_grad():
            error = PlainCodec.calibrated(fmap, stats, width)(sample) - sample
        errors[width] = float(error.square().mean()) / max(variance, _LEAST_VARIANCE)
    return errors
