"""Principal components of a tensor's channels, for the methods that store them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from actbench.codec.statistics import SideStatistics

_NOISE = 1e-12
"""Variance, relative to the largest mean square, below which a component is rounding error."""


@dataclass(frozen=True)
class Components:
    """Some principal components of the channels, in fp64: `mean` μ (C,), `basis` U (C, K), their variances `energy`
    (K,), falling.

    `D = Λ^(−1/2) Uᵀ` gives each the variance 1, so that one quantiser serves them all; `E = U Λ^(1/2)`.
    """

    mean: Tensor
    basis: Tensor
    energy: Tensor

    @classmethod
    def of(cls, side: SideStatistics) -> Components:
        """Decomposes the covariance of a tensor into all its C components."""
        values, vectors = torch.linalg.eigh(side.covariance)
        floor = _NOISE * (values.max() + side.mean.square().max()).clamp_min(_NOISE)
        return cls(side.mean, vectors.flip(1), values.flip(0).clamp_min(float(floor)))

    def only(self, index: Tensor | slice) -> Components:
        """Selects the components that `index` picks, by their numbers or as a slice."""
        return Components(self.mean, self.basis[:, index], self.energy[index])

    @property
    def project(self) -> Tensor:
        """Matrix D (K, C), from channels to components."""
        return (self.basis / self.energy.sqrt()).T

    @property
    def expand(self) -> Tensor:
        """Matrix E (C, K), from components to channels."""
        return self.basis * self.energy.sqrt()

    def of_images(self, x: Tensor) -> Tensor:
        """Projects images (n, C, H, W) to their components (n, K, H, W): `D (x − μ)` in fp32."""
        centred = x - self.mean.float()[:, None, None]
        return torch.einsum("kc,nchw->nkhw", self.project.float(), centred)
