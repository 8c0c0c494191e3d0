"""LANCE: ranks, factors and width of each map, once, on calibration images."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from typing_extensions import override

from actbench.codec import Allowance, Codec, FeatureMap, MapStatistics, Method, Unsupported
from actbench.feature_map import FLOAT_BITS
from actbench_plugins.lance.codec import FixedCore
from actbench_plugins.lance.subspace import best_ranks, mode_vectors, projected

_IMAGES = 64
"""Images of the calibration sample from which the subspace comes."""


class FixedSubspace(Method):
    """Finds for each width the ranks that keep the most of calibration images among all whose cores fit, and takes of
    these the one with the least squared error."""

    @override
    def saving(self, fmap: FeatureMap, stats: MapStatistics, allowance: Allowance) -> Codec:
        widths = (FLOAT_BITS,) if self.options["core"] == "fp32" else allowance.widths
        most = {width: allowance.bits // width for width in widths if allowance.bits >= width}
        if not most:
            raise Unsupported(f"{fmap.name}: a core of one value needs {widths[-1]} bits; {allowance.bits} are allowed")
        sample = stats.after.sample[:_IMAGES]
        with torch.no_grad():
            fitting = _candidates(sample, most)
            return min(fitting, key=lambda codec: float((codec(sample) - sample).double().square().sum()))


def _candidates(sample: Tensor, most: Mapping[int, int]) -> list[FixedCore]:
    """The codec with the best ranks for each width, whose core has at most so many values."""
    vectors = mode_vectors(sample)
    energy = projected(sample, vectors).double().square().sum(0)
    ranks = {width: best_ranks(energy, values) for width, values in most.items()}
    return [
        FixedCore.calibrated([v[:, :rank] for v, rank in zip(vectors, chosen, strict=True)], width, sample)
        for width, chosen in ranks.items()
    ]
