"""Planning of a ladder: which of a coder's settings is planned for a map is, of those that fit on calibration images,
the least wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from typing_extensions import override

from actbench.budget import Allowance
from actbench.codec.codec import Codec
from actbench.codec.method import Method
from actbench.codec.rate_control.granules import decode_granules, encode_granules, sum_over_granules
from actbench.codec.rate_control.ladder import Ladder, stream_allowance
from actbench.codec.rate_control.pooled import Pooled
from actbench.codec.rate_control.rung import Rung
from actbench.codec.statistics import MapStatistics
from actbench.errors import Unsupported
from actbench.feature_map import FLOAT_BITS, FeatureMap

QUANTILE, MARGIN = 0.999, 1.02
"""A setting is planned where this quantile of the calibration images' lengths, times the margin, fits."""

MOST_RUNGS = 32
"""A ladder's rungs are planned with the bits that a number of this size needs."""

_IMAGES_FOR_LENGTHS, _IMAGES_FOR_ERRORS, _PROBED = 256, 32, 16
_VALUES_AT_ONCE = 1 << 22


class LadderMethod(Method):
    """A method that names families of settings, each from the finest to the coarsest; of each family the finest
    setting that fits on the calibration images is planned, and of these the one with the least squared error there.
    The coarser settings of its family follow on the ladder, and `Pooled` ends it."""

    def families(self, fmap: FeatureMap, stats: MapStatistics, allowance: Allowance) -> Sequence[Sequence[Rung]]:
        """Names families of settings, each from the finest to the coarsest; `allowance.bits` is what a stream may have,
        overheads paid."""
        raise NotImplementedError

    @override
    def codec(self, fmap: FeatureMap, stats: MapStatistics, allowance: Allowance) -> Codec:
        if allowance.widths[0] == FLOAT_BITS:
            raise Unsupported(f"{fmap.name}: this code is for integers of at most 16 bits")
        sample = stats.after.sample
        streams = replace(allowance, bits=stream_allowance(allowance.bits, MOST_RUNGS, fmap.height))
        families = self.families(fmap, stats, streams)
        planned = [rungs for rungs in (_from_first_fitting(f, sample, streams.bits) for f in families) if rungs]
        planned = planned or [[_coarsest(fmap, families, sample, streams.bits)]]
        best = min(planned, key=lambda rungs: _error(rungs[0], sample))
        return Ladder([*best, Pooled.fitting(fmap, sample, streams)], allowance.bits, fmap.height)


@torch.no_grad()
def _lengths(rung: Rung, sample: Tensor) -> Tensor:
    images = sample[:_IMAGES_FOR_LENGTHS]
    at_once = max(1, _VALUES_AT_ONCE // max(1, images[0].numel()))
    return torch.cat([sum_over_granules(rung.lengths, part) for part in images.split(at_once)])


def _from_first_fitting(rungs: Sequence[Rung], sample: Tensor, bits: int) -> Sequence[Rung]:
    """Keeps the rungs from the first on that fits with the margin; none where none does."""
    for number, rung in enumerate(rungs):
        # With two images over the limit the quantile is over it, whatever the others' lengths are.
        over = MARGIN * _lengths(rung, sample[:_PROBED]).double() > bits
        if over.count_nonzero() < 2 and MARGIN * float(_lengths(rung, sample).double().quantile(QUANTILE)) <= bits:
            return rungs[number:]
    return []


def _coarsest(fmap: FeatureMap, families: Sequence[Sequence[Rung]], sample: Tensor, bits: int) -> Rung:
    """Chooses the coarsest setting that fits for most images, where none fits for all. Raises Unsupported where none
    does."""
    shares = {rungs[-1]: float((_lengths(rungs[-1], sample) <= bits).double().mean()) for rungs in families if rungs}
    best = max(shares, key=shares.__getitem__, default=None)
    if best is None or shares[best] <= 0.5:
        share = 0.0 if best is None else shares[best]
        raise Unsupported(
            f"{fmap.name}: the coarsest code fits into {bits} bits for {share:.0%} of the calibration images"
        )
    return best


@torch.no_grad()
def _error(rung: Rung, sample: Tensor) -> float:
    images = sample[:_IMAGES_FOR_ERRORS]
    decoded = decode_granules(rung, encode_granules(rung, images), sample.shape[2])
    return float((decoded.detach() - images).double().square().sum())
