"""What it costs to drop principal components, or to quantise them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from actbench.components import Components
from actbench.feature_map import FLOAT_BITS
from actbench.importance import Layer, importance
from actbench.method import FeatureMap
from actbench.quantizers import UniformQuantizer

_IMAGES = 16
"""Images of the calibration sample on which quantisers are calibrated."""


@dataclass(frozen=True)
class Distortion:
    """Predicted relative error of K components in b bits: `Σ_{i≥K} w_i + d(b)·Σ_{i<K} w_i`, with `Σ w_i = 1`.

    `weights` (C,): each component's part of the variance; `quantization`: d, the error of a component of variance 1.
    """

    weights: Tensor
    quantization: Mapping[int, float]

    def __call__(self, rank: int, width: int) -> float:
        kept = float(self.weights[:rank].sum())
        return max(0.0, 1 - kept) + self.quantization[width] * kept


def quantization_errors(components: Components, sample: Tensor, widths: Sequence[int]) -> dict[int, float]:
    """d(b) for each width: the mean squared error of the calibrated quantiser on the components of `sample`."""
    z = components.of_images(sample[:_IMAGES])
    quantizers = {width: UniformQuantizer.calibrated(width, z) for width in widths if width != FLOAT_BITS}
    with torch.no_grad():
        measured = {width: float((quantizer(z) - z).square().mean()) for width, quantizer in quantizers.items()}
    return {width: measured.get(width, 0.0) for width in widths}


def energy_weights(components: Components) -> Tensor:
    """(C,) `λ_i / Σ λ`: parts of the tensor's variance."""
    return _parts(components.energy)


def reader_weights(components: Components, fmap: FeatureMap, readers: Sequence[Layer]) -> Tensor:
    """(C,) `λ_i uᵢᵀ M uᵢ` over their sum, M the map's importance to its readers: parts of the variance behind them,
    were there no nonlinearity between."""
    gains = (components.basis * (importance(fmap, readers) @ components.basis)).sum(0)
    return _parts(components.energy * gains)


def _parts(values: Tensor) -> Tensor:
    return values / values.sum().clamp_min(1e-30)
