"""HOSVD and SVD: which ranks and width each map has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from actbench import UserError
from actbench.codec import (
    Allowance,
    Budget,
    Codec,
    FeatureMap,
    MapStatistics,
    Method,
    Network,
    PlainCodec,
    Plan,
    Unsupported,
)
from actbench.feature_map import FLOAT_BITS
from actbench_plugins.hosvd.codec import DecomposedMap
from actbench_plugins.hosvd.coding import Codes, Floats
from actbench_plugins.hosvd.ranks import Ranks, best_ranks, fewest_values, kept_energy
from actbench_plugins.hosvd.training import SavedDecomposition, SavedMatrix, SavedSubspace

_IMAGES = 8
"""Images of the calibration sample on which ranks are searched and candidates compared."""

_BATCH = 64
"""Images of the batch of the training track on which widths and fixed ranks are chosen."""


class HigherOrderSVD(Method):
    """Finds for each width the ranks of least error among all that fit, and takes of these, and of the plainly
    quantised map where it fits, the one with the least squared error on the calibration sample."""

    modes: ClassVar[Sequence[bool]] = (True, True, True)
    """Which of channels, rows and columns may be truncated."""

    @override
    def plan_saving(self, network: Network, stats: Mapping[str, MapStatistics], budget: Budget) -> Plan:
        """Decomposes every map where ranks come from ε, and where they come from the ceiling those that do not fit in
        plain codes."""
        if not self._epsilon:
            return super().plan_saving(network, stats, budget)
        allowances = {fmap.name: budget.allowance(fmap, network.maps) for fmap in network.maps}
        return Plan({f.name: self.saving(f, stats[f.name], allowances[f.name]) for f in network.maps})

    @override
    def saving(self, fmap: FeatureMap, stats: MapStatistics, allowance: Allowance) -> Codec:
        """Makes the codec of a whole batch: with ranks of a given ε, or of the largest that fits each time; in codes of
        the width with the least squared error on the calibration sample, or in the map's type."""
        codings = _codings(self, allowance)[: 1 if self._epsilon else None]
        candidates = [self._saved(fmap, self._epsilon or None, allowance.bits, coding) for coding in codings]
        return _least_error(fmap, stats.after.sample[:_BATCH], candidates, allowance)

    @property
    def _epsilon(self) -> float:
        epsilon = float(self.options["epsilon"])
        if not 0 <= epsilon < 1:
            raise UserError(f"hosvd.epsilon={epsilon}: give a share of the variance, at least 0 and less than 1")
        return epsilon

    def _saved(self, fmap: FeatureMap, epsilon: float | None, most: int, coding: Floats) -> SavedDecomposition:
        return SavedDecomposition(epsilon, most, coding)

    def codec(self, fmap: FeatureMap, stats: MapStatistics, allowance: Allowance) -> Codec:
        images = stats.after.sample[:_IMAGES]
        ranks = self._ranks(fmap, images, allowance)
        plain = allowance.plain_width(fmap)
        candidates: list[Codec] = [PlainCodec.calibrated(fmap, stats, plain)] if plain else []
        candidates += [DecomposedMap.calibrated(fmap, chosen, width, images) for width, chosen in ranks.items()]
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

    def _saved(self, fmap: FeatureMap, epsilon: float | None, most: int, coding: Floats) -> SavedDecomposition:
        return SavedMatrix(_shape(fmap), epsilon, most, coding)


class SubspaceIteration(Method):
    """Takes the ranks from the ceiling, once, on calibration images, and factors by one power step from those of the
    step before."""

    def saving(self, fmap: FeatureMap, stats: MapStatistics, allowance: Allowance) -> Codec:
        images = stats.after.sample[:_BATCH]
        candidates = [SavedSubspace(images, allowance.bits, coding) for coding in _codings(self, allowance)]
        return _least_error(fmap, images, candidates, allowance)


def _codings(method: Method, allowance: Allowance) -> list[Floats]:
    """How core and factors may be stored: in codes of each width of the budget, or as the papers do."""
    if method.options["factors"] == "fp32" or allowance.widths[0] == FLOAT_BITS:
        return [Floats()]
    return [Codes(width) for width in allowance.widths]


def _least_error(
    fmap: FeatureMap, images: Tensor, candidates: Sequence[SavedDecomposition], allowance: Allowance
) -> Codec:
    """Of the candidates that hold what is allowed, the one with the least squared error on a batch of calibration
    images."""
    fitting = [codec for codec in candidates if codec.fits(images)]
    if not fitting:
        needed, allowed = min(codec.fewest_bits(images) for codec in candidates), allowance.bits * len(images)
        batch = f"a batch of {len(images)} images"
        raise Unsupported(f"{fmap.name}: ranks of 1 need {needed} bits for {batch}; {allowed} are allowed")
    with torch.no_grad():
        return min(fitting, key=lambda codec: float((codec(images) - images).double().square().sum()))


def _shape(fmap: FeatureMap) -> tuple[int, int, int]:
    return fmap.channels, fmap.height, fmap.width
