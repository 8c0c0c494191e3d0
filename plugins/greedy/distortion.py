"""What it costs to drop principal components, or to quantise them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from actbench.components import Components
from actbench.feature_map import FLOAT_BITS
from actbench.method import FeatureMap
from actbench.quantizers import UniformQuantizer

Layer = nn.Conv2d | nn.Linear

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
    """(C,) `λ_i uᵢᵀ M uᵢ` over their sum, `M = Σ Wᵀ W` over readers and kernel positions: parts of the variance behind
    the layers that read the map, were there no nonlinearity between. A reader without weights, an addition say, counts
    as the mean of the others."""
    basis = components.basis
    gains = torch.stack([_gains(layer, basis) for layer in readers] or [torch.ones_like(components.energy)])
    without = len(fmap.readers) - len(readers) if readers else 0
    return _parts(components.energy * (gains.sum(0) + without * gains.mean()))


def _gains(layer: Layer, basis: Tensor) -> Tensor:
    """(K,) the energy that a layer makes of each unit vector of `basis` (C, K)."""
    weight = layer.weight.detach().to("cpu", torch.float64)
    if isinstance(layer, nn.Conv2d) and layer.groups > 1:
        by_channel = weight.square().sum((2, 3)).reshape(layer.groups, -1, weight.shape[1]).sum(1).flatten()
        return by_channel @ basis.square()
    flat = weight.reshape(weight.shape[0], weight.shape[1], -1)
    return torch.einsum("ocp,ck->okp", flat, basis).square().sum((0, 2))


def _parts(values: Tensor) -> Tensor:
    return values / values.sum().clamp_min(1e-30)
