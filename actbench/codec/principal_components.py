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
    """Some components of the covariance, fp64: `mean` μ (C,), `basis` U (C, K), their variances `energy` (K,), falling.

    `D = Λ^(−1/2) Uᵀ` gives each the variance 1, so that one quantiser serves them all; `E = U Λ^(1/2)`.
    """

    mean: Tensor
    basis: Tensor
    energy: Tensor

    @classmethod
    def of(cls, side: SideStatistics) -> Components:
        """All C components."""
        values, vectors = torch.linalg.eigh(side.covariance)
        floor = _NOISE * (values.max() + side.mean.square().max()).clamp_min(_NOISE)
        return cls(side.mean, vectors.flip(1), values.flip(0).clamp_min(float(floor)))

    def only(self, index: Tensor | slice) -> Components:
        """Those that `index` picks."""
        return Components(self.mean, self.basis[:, index], self.energy[index])

    @property
    def project(self) -> Tensor:
        """D (K, C)"""
        return (self.basis / self.energy.sqrt()).T

    @property
    def expand(self) -> Tensor:
        """E (C, K)"""
        return self.basis * self.energy.sqrt()

    def of_images(self, x: Tensor) -> Tensor:
        """(images, C, H, W) → (images, K, H, W): `D (x − μ)` in fp32."""
        centred = x - self.mean.float()[:, None, None]
        return torch.einsum("kc,nchw->nkhw", self.project.float(), centred)
