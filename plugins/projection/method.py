"""Projections along channels: how many channels of which map, and in which width."""

from __future__ import annotations

import torch
from torch import Tensor

from actbench.codec import Allowance, Codec, FeatureMap, MapStatistics, Method, UniformQuantizer, Unsupported
from actbench.feature_map import FLOAT_BITS
from actbench.recipe import PROTOCOL_RECIPE, Recipe, RecipeName
from actbench_plugins.projection.codec import ProjectionCodec
from actbench_plugins.projection.start import Projections, default, principal

_IMAGES = 16
"""Images of the calibration sample on which candidates are compared."""


class Projection(Method):
    """Stores `V x` of k channels in `width` bits, `k = floor(bits / (H·W·width))`; `x̂ = U V x`.

    Rank and width are the pair with the least squared error of the principal components on the calibration sample,
    whatever the projections start with.
    """

    def recipe(self, name: RecipeName) -> Recipe:
        if name == "paper":
            return Recipe(insertion="sequential", trained="codecs", batch_statistics="adapting", schedule="stages")
        return PROTOCOL_RECIPE

    def codec(self, fmap: FeatureMap, stats: MapStatistics, allowance: Allowance) -> Codec:
        images = stats.after.sample[:_IMAGES]
        candidates = [
            _codec(principal(stats.after.gram, rank), width, images) for width, rank in _ranks(fmap, allowance).items()
        ]
        with torch.no_grad():
            best = min(candidates, key=lambda codec: float((codec(images) - images).square().sum()))
        if self.options["start"] == "pca":
            return best
        quantizer = best.core.quantizer
        width = quantizer.width if quantizer else FLOAT_BITS
        return _codec(default(fmap.channels, best.project.out_channels), width, images)


def _ranks(fmap: FeatureMap, allowance: Allowance) -> dict[int, int]:
    """How many channels fit in each width, of the widths in which at least one does."""
    ranks = {width: min(fmap.channels, allowance.rank(fmap.positions, width)) for width in allowance.widths}
    possible = {width: rank for width, rank in ranks.items() if rank > 0}
    if not possible:
        needed = fmap.positions * allowance.widths[-1]
        raise Unsupported(f"{fmap.name}: one channel needs {needed} bits; {allowance.bits} are allowed")
    return possible


def _codec(projections: Projections, width: int, images: Tensor) -> ProjectionCodec:
    """The codec of these projections, its clip calibrated on the images' projections."""
    project, expand = projections
    if width == FLOAT_BITS:
        return ProjectionCodec(project, expand, None)
    projected = torch.einsum("kc,nchw->nkhw", project, images)
    return ProjectionCodec(project, expand, UniformQuantizer.calibrated(width, projected))
