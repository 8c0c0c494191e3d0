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
from actbench_plugins.hosvd.iteration import SWEEPS
from actbench_plugins.hosvd.ranks import Ranks, best_ranks, fewest_values, kept_energy
from actbench_plugins.hosvd.training import SavedDecomposition, SavedMatrix, SavedSubspace

_IMAGES = 8
"""Images of the calibration sample on which ranks are searched and candidates compared."""

_BATCH = 64
"""Images of the batch of the training track on which widths and fixed ranks are chosen."""


class BatchDecomposition(Method):
    """What the methods share on the training track: decompositions of whole batches."""

    @override
    def plan_saving(self, network: Network, stats: Mapping[str, MapStatistics], budget: Budget) -> Plan:
        """Parts the ceiling's bits among maps by their sizes, but none less than ranks of 1 need. Raises Unsupported
        where even these need more."""
        images = {fmap.name: len(stats[fmap.name].after.sample[:_BATCH]) for fmap in network.maps}
        fewest = {f.name: self._fewest_bits(f, images[f.name], budget.bits.widths) for f in network.maps}
        limit = budget.ceiling.limit(network.maps)
        if sum(fewest.values()) > limit:
            raise Unsupported(f"ranks of 1 need {sum(fewest.values())} bits an image; {limit} are allowed")
        shares = parted(limit, {fmap.name: fmap.elements for fmap in network.maps}, fewest)
        allowances = {name: Allowance(bits, budget.bits.widths) for name, bits in shares.items()}
        return Plan({f.name: self._planned(f, stats[f.name], allowances[f.name]) for f in network.maps})

    def _planned(self, fmap: FeatureMap, stats: MapStatistics, allowance: Allowance) -> Codec:
        """A map that fits in plain codes of the widest width is not decomposed."""
        if allowance.leaves_alone(fmap):
            return PlainCodec.calibrated(fmap, stats, allowance.widths[0])
        return self.saving(fmap, stats, allowance)

    def _codings(self, widths: Sequence[int]) -> list[Floats]:
        """How core and factors may be stored: in codes of each width of the budget, or as the papers do."""
        if self.options["factors"] == "fp32" or widths[0] == FLOAT_BITS:
            return [Floats()]
        return [Codes(width) for width in widths]

    def _fewest_bits(self, fmap: FeatureMap, images: int, widths: Sequence[int]) -> int:
        """Bits of an image, rounded up, for a batch's ranks of 1."""
        sizes = self._sizes(fmap, images)
        return min(-(-coding.bits(sizes, [1] * len(sizes)) // images) for coding in self._codings(widths))

    def _sizes(self, fmap: FeatureMap, images: int) -> Sequence[int]:
        """The sizes of the tensor that is decomposed."""
        return images, *_shape(fmap)


class HigherOrderSVD(BatchDecomposition):
    """Finds for each width the ranks of least error among all that fit, and takes of these the one with the least
    squared error on the calibration sample."""

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
        codings = self._codings(allowance.widths)[: 1 if self._epsilon else None]
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
        candidates = [
            DecomposedMap.calibrated(fmap, chosen, width, images, sweeps)
            for width, chosen in ranks.items()
            for sweeps in self._sweeps(chosen)
        ]
        if not candidates:
            needed = fewest_values(_shape(fmap), self.modes) * allowance.widths[-1]
            raise Unsupported(f"{fmap.name}: ranks of 1 need {needed} bits; {allowance.bits} are allowed")
        with torch.no_grad():
            return min(candidates, key=lambda codec: float((codec(images) - images).double().square().sum()))

    def _sweeps(self, ranks: Ranks) -> Sequence[int]:
        """How often factors are improved, in each candidate: codes may lose more with HOOI's factors than these gain.
        One truncated mode alone is at its best without."""
        iterates = self.options.get("solver") == "hooi" and sum(rank is not None for rank in ranks) > 1
        return (0, SWEEPS) if iterates else (0,)

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

    @override
    def _saved(self, fmap: FeatureMap, epsilon: float | None, most: int, coding: Floats) -> SavedDecomposition:
        return SavedMatrix(_shape(fmap), epsilon, most, coding)

    @override
    def _sizes(self, fmap: FeatureMap, images: int) -> Sequence[int]:
        return images, fmap.elements


class SubspaceIteration(BatchDecomposition):
    """Takes the ranks from the ceiling, once, on calibration images, and factors by one power step from those of the
    step before."""

    def saving(self, fmap: FeatureMap, stats: MapStatistics, allowance: Allowance) -> Codec:
        images = stats.after.sample[:_BATCH]
        candidates = [SavedSubspace(images, allowance.bits, coding) for coding in self._codings(allowance.widths)]
        return _least_error(fmap, images, candidates, allowance)


def parted(limit: int, sizes: Mapping[str, int], fewest: Mapping[str, int]) -> dict[str, int]:
    """Parts a limit in proportion to sizes, but no part is less than its fewest; these in sum must not be more."""
    parts: dict[str, int] = {}
    while True:
        rest = {name: size for name, size in sizes.items() if name not in parts}
        left, whole = limit - sum(parts.values()), sum(rest.values())
        shares = {name: left * size // whole for name, size in rest.items()}
        short = {name: fewest[name] for name, share in shares.items() if share < fewest[name]}
        if not short:
            return parts | shares
        parts |= short


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
