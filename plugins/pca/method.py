"""PCA transform coding: the smallest step whose strings fit, and coarser ones for images that need them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor, nn
from typing_extensions import override

from actbench.codec import Allowance, Codec, FeatureMap, MapStatistics, Method, SideStatistics, Unsupported
from actbench.codec.modules import build_all, pointwise
from actbench.codec.quantizers import least_squares_clip
from actbench.codec.rate_control import MARGIN, MOST_RUNGS, QUANTILE, Pooled, stream_allowance, sum_over_granules
from actbench.feature_map import FLOAT_BITS
from actbench_plugins.pca.blocks import CodedBlocks
from actbench_plugins.pca.codec import CodedComponents, ComponentLadder, RotatedInput, RotatedMap

_IMAGES = 64
"""Images of the calibration sample on which tables are counted and steps searched."""

_HALVINGS = 8
"""Halvings of the range in which a step is searched."""

_PER_OCTAVE = 4
"""Steps for light images in each octave."""

_COARSER = (1.4, 2.0, 4.0, 8.0)
"""The steps of the rungs below the planned one, relative to it."""


class TransformCoding(Method):
    """Plans for each map the smallest step whose strings fit on calibration images, down to the step of least squared
    error for codes of the widest width. `Pooled`, on the components, ends the ladder."""

    rung: ClassVar[type[CodedComponents]] = CodedComponents
    lightest: ClassVar[float] = QUANTILE
    """The share of calibration images that the finest step of a ladder fits."""

    def codec(self, fmap: FeatureMap, stats: MapStatistics, allowance: Allowance) -> Codec:
        _check_widths(fmap, allowance)
        return self._coded(fmap, stats.before, allowance, RotatedMap)

    def saving(self, fmap: FeatureMap, stats: MapStatistics, allowance: Allowance) -> Codec:
        """The codec of what the next layer reads, which is what is saved, and so rotated: nothing folds in training."""
        _check_widths(fmap, allowance)
        return self._coded(replace(fmap, between=()), stats.after, allowance, RotatedInput)

    def _coded(
        self, fmap: FeatureMap, side: SideStatistics, allowance: Allowance, codec: type[RotatedMap]
    ) -> RotatedMap:
        project, expand = rotation(side.mean, side.covariance)
        with torch.no_grad():
            components = project(side.sample[:_IMAGES])
        height, width = components.shape[2:]
        streams = replace(allowance, bits=stream_allowance(allowance.bits, MOST_RUNGS, height))
        pooled = Pooled.fitting(replace(fmap, height=height, width=width, between=()), components, streams)
        fine, coarse = self._steps(components, streams)
        rungs = [*(self._coder(step, components, allowance) for step in (*fine, *coarse)), pooled]
        return codec(project, ComponentLadder(rungs, allowance.bits, height, expand, planned=len(fine)))

    def _coder(self, step: float, components: Tensor, allowance: Allowance) -> CodedComponents:
        return self.rung(step, allowance.widths[0], components)

    def _steps(self, components: Tensor, allowance: Allowance) -> tuple[list[float], list[float]]:
        """Steps for lighter images than most, and the planned step with coarser ones behind it."""

        def smallest(share: float, coarsest: float) -> float:
            def fits(step: float) -> bool:
                return _fits(self._coder(step, components, allowance), components, allowance.bits, share)

            return smallest_step(fits, finest, coarsest)

        finest, coarsest = _range_of_steps(components, allowance.widths[0])
        planned = smallest(QUANTILE, coarsest)
        lightest = planned if self.lightest == QUANTILE else smallest(self.lightest, planned)
        return steps_between(lightest, planned), [planned * factor for factor in (1.0, *_COARSER)]


class BlockTransformCoding(TransformCoding):
    """Transforms components over space, too, and has finer steps for images that need fewer bits than others; of the
    tensors before and behind the nonlinearity it codes the one that leaves less error of the map as it is read."""

    rung = CodedBlocks
    lightest = 0.02

    @override
    def codec(self, fmap: FeatureMap, stats: MapStatistics, allowance: Allowance) -> Codec:
        behind = self.saving(fmap, stats, allowance)
        if not fmap.between:
            return behind
        try:
            before = super().codec(fmap, stats, allowance)
        except Unsupported:
            return behind
        return min((before, behind), key=lambda codec: _error(fmap, codec, stats))


@torch.no_grad()
def _error(fmap: FeatureMap, codec: Codec, stats: MapStatistics) -> float:
    """The squared error of some calibration images, as they are read."""
    before, after = (side.sample[:_IMAGES] for side in (stats.before, stats.after))
    decoded = build_all(fmap.between)(codec(before)) if codec.side == "before" else codec(after)
    return float((decoded - after).double().square().sum())


def _range_of_steps(components: Tensor, width: int) -> tuple[float, float]:
    """The finest and the coarsest step: that of least squared error for codes of this width, and one that rounds every
    component to zero."""
    low, high = least_squares_clip(components, width)
    finest = max((high - low) / ((1 << width) - 1), 1e-9)
    return finest, max(2 * float(components.abs().max()), 2 * finest)


def rotation(mean: Tensor, covariance: Tensor) -> tuple[nn.Conv2d, nn.Conv2d]:
    """The rotation and its inverse, `z = Uᵀ x − Uᵀ μ` and `x = U z + μ`, as 1×1 convolutions; U (C, C) has the
    eigenvectors of the covariance as its columns, that of the largest eigenvalue first."""
    basis = torch.linalg.eigh(covariance.double())[1].flip(1)
    return pointwise(basis.T, -basis.T @ mean.double()), pointwise(basis, mean)


def smallest_step(fits: Callable[[float], bool], finest: float, coarsest: float) -> float:
    """The smallest step that fits, to 2^−8 of the octaves between the two; the coarsest where none does."""
    if fits(finest):
        return finest
    low, high = math.log2(finest), math.log2(coarsest)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if fits(math.pow(2, middle)) else (middle, high)
    return math.pow(2, high)


def steps_between(finest: float, planned: float) -> list[float]:
    """Steps from the finest to just below the planned one, about a quarter of an octave apart."""
    count = round(_PER_OCTAVE * math.log2(planned / finest))
    return [finest * (planned / finest) ** (number / count) for number in range(count)]


def _check_widths(fmap: FeatureMap, allowance: Allowance) -> None:
    if allowance.widths[0] == FLOAT_BITS:
        raise Unsupported(f"{fmap.name}: this code is for integers of at most 16 bits")


def _fits(rung: CodedComponents, components: Tensor, bits: int, share: float) -> bool:
    longest = float(sum_over_granules(rung.costs, components).quantile(share))
    return MARGIN * longest <= bits
