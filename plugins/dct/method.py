"""DCT-CM: whether a map is transformed, how many frequencies it keeps, and its width."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from typing_extensions import override

from actbench.codec import Allowance, FeatureMap, MapStatistics
from actbench.codec.quantizers import thin
from actbench.codec.rate_control import LadderMethod, Rung
from actbench_plugins.dct import transform
from actbench_plugins.dct.codec import CenteredQuantizer, MaskedTransform

_VALUES = 1 << 14
"""Values on which a quantiser's step is searched."""

_IMAGES = 16
"""Images of the calibration sample from which these values come."""

_MASKS = 8
"""The most masks that are compared for a map."""


class ChannelDCT(LadderMethod):
    """Finds for the identity and for each mask the widest codes that fit on the calibration images, and takes the pair
    with the least squared error. The paper treats early and late layers apart by their sparsity; this choice by error
    is ours."""

    @override
    def families(self, fmap: FeatureMap, stats: MapStatistics, allowance: Allowance) -> Sequence[Sequence[Rung]]:
        size = transform.group_size(fmap.channels, int(self.options["group"]))
        order = transform.order_by_correlation(stats.after.covariance) if self.options["reorder"] else None
        sample = stats.after.sample[:_IMAGES]
        identity = self._rungs(fmap, sample, transform.basis(1), None, allowance)
        arranged = sample if order is None else sample[:, order]
        masks = [transform.basis(size)[:kept] for kept in kept_candidates(size)]
        return [identity, *(self._rungs(fmap, arranged, matrix, order, allowance) for matrix in masks if size > 1)]

    def _rungs(
        self, fmap: FeatureMap, arranged: Tensor, matrix: Tensor, order: Tensor | None, allowance: Allowance
    ) -> list[Rung]:
        """The settings of one mask in every width, the widest first. A sign needs two bits."""
        unsigned = fmap.nonnegative and matrix.shape[1] == 1
        values = thin(transform.forward(arranged.flatten(2), matrix).flatten(), _VALUES)
        quantizers = [
            CenteredQuantizer.calibrated(values, width, nonnegative=unsigned)
            for width in allowance.widths
            if unsigned or width > 1
        ]
        whole = self.options["bitmap"] == "all"
        return [MaskedTransform(fmap, matrix, quantizer, order=order, whole_bitmap=whole) for quantizer in quantizers]


def kept_candidates(size: int) -> list[int]:
    """Evenly spaced numbers of kept frequencies, at most 8: all of them for groups of up to 8."""
    return sorted({-(-size * number // _MASKS) for number in range(1, _MASKS + 1)}, reverse=True)
