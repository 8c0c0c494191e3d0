"""Statistics of one feature map over the calibration images, on either side of its nonlinearity."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor


class SideStatistics:
    """Moments of one tensor over all calibration images, and the tensor itself for the first few of them.

    `sample`: (images, C, H, W) fp32, or what gives it. The moments are sums in fp64 over every position of every image:
    `total` (C,), `products` (C, C) = Σ x·xᵀ, `count` positions.
    """

    def __init__(
        self,
        sample: Tensor | Callable[[], Tensor],
        total: Tensor,
        products: Tensor,
        count: int,
        minimum: float,
        maximum: float,
    ) -> None:
        self._sample = sample
        self.total = total
        self.products = products
        self.count = count
        self.minimum = minimum
        self.maximum = maximum

    @classmethod
    def of(cls, sample: Tensor) -> SideStatistics:
        """Computes the statistics of some images (images, C, H, W) and no others."""
        columns = sample.transpose(0, 1).flatten(1).double()
        low, high = sample.aminmax()
        return cls(sample, columns.sum(1), columns @ columns.T, columns.shape[1], float(low), float(high))

    @property
    def sample(self) -> Tensor:
        """Tensor (images, C, H, W) fp32 of the first few images. Of large maps not all samples are held at once: ask
        when it is needed, and do not keep it."""
        return self._sample if isinstance(self._sample, Tensor) else self._sample()

    @cached_property
    def mean(self) -> Tensor:
        """Mean (C,) fp64 of each channel."""
        return self.total / self.count

    @cached_property
    def gram(self) -> Tensor:
        """Second moments E[x·xᵀ] (C, C) fp64 of the channels."""
        return self.products / self.count

    @cached_property
    def covariance(self) -> Tensor:
        """Covariance E[x·xᵀ] − E[x]·E[x]ᵀ (C, C) fp64 of the channels."""
        return self.gram - torch.outer(self.mean, self.mean)

    def histogram(self, bins: int = 256) -> tuple[Tensor, Tensor]:
        """Counts the sampled values in bins of equal width → counts (bins,), edges (bins + 1,)."""
        counts, edges = torch.histogram(self.sample.flatten(), bins=bins)
        return counts, edges


class MapStatistics:
    """Statistics of one feature map: `before` the nonlinearity (the source, after normalisation and addition), and
    `after` it, the map as it is read."""

    def __init__(self, before: SideStatistics, after: SideStatistics) -> None:
        self.before = before
        self.after = after

    @classmethod
    def of(cls, before: Tensor, after: Tensor | None = None) -> MapStatistics:
        """Computes the statistics of some images (images, C, H, W) and no others, before the nonlinearity and, where
        there is one, after it."""
        side = SideStatistics.of(before)
        return cls(side, side if after is None else SideStatistics.of(after))
