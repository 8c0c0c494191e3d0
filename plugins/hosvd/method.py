"""HOSVD and SVD: which ranks and width each map has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from actbench import UserError
from actbench.codec import Allowance, Codec, FeatureMap, MapStatistics, Method, Unsupported
from actbench.feature_map import FLOAT_BITS
from actbench_plugins.hosvd.codec import DecomposedMap
from actbench_plugins.hosvd.ranks import Ranks, best_ranks, fewest_values, kept_energy
from actbench_plugins.hosvd.training import SavedDecomposition, SavedMatrix, SavedSubspace

_IMAGES = 8
"""Images of the calibration sample on which ranks are searched and candidates compared."""

_BATCH = 64
"""Images of the batch for which fixed ranks are chosen."""


class HigherOrderSVD(Method):
    """Finds for each width the ranks of least error among all that fit, and takes of these the one with the least
    squared error on the calibration sample."""

    modes: ClassVar[Sequence[bool]] = (True, True, True)
    """Which of channels, rows and columns may be truncated."""

    def saving(self, fmap: FeatureMap, stats: MapStatistics, allowance: Allowance) -> Codec:
        """The codec of a whole batch, in the map's type: with ranks of a given ε, or of the largest that fits each
        time."""
        epsilon = float(self.options["epsilon"])
        if not 0 <= epsilon < 1:
            raise UserError(f"hosvd.epsilon={epsilon}: give a share of the variance, at least 0 and less than 1")
        return self._saved(fmap, epsilon or None, allowance.bits // FLOAT_BITS)

    def _saved(self, fmap: FeatureMap, epsilon: float | None, most: int) -> Codec:
        return SavedDecomposition(epsilon, None if epsilon else most)

    def codec(self, fmap: FeatureMap, stats: MapStatistics, allowance: Allowance) -> Codec:
        images = stats.after.sample[:_IMAGES]
        ranks = self._ranks(fmap, images, allowance)
        candidates = [DecomposedMap.calibrated(fmap, chosen, width, images) for width, chosen in ranks.items()]
        if not candidates:
            needed = fewest_values(_shape(fmap), self.modes) * allowance.widths[-1]
            raise Unsupported(f"{fmap.name}: ranks of 1 need {needed} bits; {allowance.bits} are allowed")
        with torch.no_grad():
            return min(candidates, key=lambda codec: float((codec(images) - images).double().square().sum()))

    def _ranks(self, fmap: FeatureMap, images: Tensor, allowance: Allowance) -> dict[int, Ranks]:
        """The ranks for each width with which any fit and are fewer values than the map."""
        energy = kept_energy(images, self.modes)
        most = {width: min(allowance.bits // width, fmap.elements - 1) for width in allowance.widths}
        ranks = {width: best_ranks(_shape(fmap), energy, values, self.modes) for width, values in most.items()}
        return {width: chosen for width, chosen in ranks.items() if chosen}


class ChannelSVD(HigherOrderSVD):
    """Stores the SVD of the unfolding (C, H·W): `width·K·(C + H·W)` bits. It is the HOSVD with only the channels
    truncated: the core (K, H, W) holds the right singular vectors, times the singular values."""

    modes = (True, False, False)

    def _saved(self, fmap: FeatureMap, epsilon: float | None, most: int) -> Codec:
        return SavedMatrix(_shape(fmap), epsilon, None if epsilon else most)


class SubspaceIteration(Method):
    """Takes the ranks from the ceiling, once, on calibration images, and factors by one power step from those of the
    step before."""

    def saving(self, fmap: FeatureMap, stats: MapStatistics, allowance: Allowance) -> Codec:
        images, most = stats.after.sample[:_BATCH], allowance.bits // FLOAT_BITS
        codec = SavedSubspace(images, most)
        if codec.values(images.shape) > most * len(images):
            raise Unsupported(
                f"{fmap.name}: ranks of 1 need {codec.values(images.shape)} values for a batch; "
                f"{most * len(images)} are allowed"
            )
        return codec


def _shape(fmap: FeatureMap) -> tuple[int, int, int]:
    return fmap.channels, fmap.height, fmap.width
