"""ProChan: which channels of which map, and in which width."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from actbench.feature_map import FLOAT_BITS
from actbench.method import Allowance, Codec, FeatureMap, MapStatistics, Method, Unsupported
from actbench.quantizers import UniformQuantizer
from actbench_plugins.prochan.codec import ProChanCodec
from actbench_plugins.prochan.start import least_squares_expansion, select_channels

_POSITIONS = 8192
"""Positions of the calibration sample on which an expansion is fitted."""


@dataclass(frozen=True)
class _Candidate:
    error: float
    channels: Tensor
    expand: Tensor
    quantizer: UniformQuantizer | None


class ProChan(Method):
    """Stores `h = Q(act(P z))` of k channels in `width` bits, `k = floor(bits / (H·W·width))`.

    P selects channels at the start: a selection commutes with the nonlinearity and with pooling, so that E is an
    ordinary least-squares problem and k = C is exact. E is fitted on the quantised h, and takes up part of the
    quantisation's error. Rank and width are the pair with the least error on the calibration sample.
    """

    def codec(self, fmap: FeatureMap, stats: MapStatistics, allowance: Allowance) -> Codec:
        columns = _columns(stats.after.sample)
        ranks = {width: min(fmap.channels, allowance.rank(fmap.positions, width)) for width in allowance.widths}
        candidates = [
            self._candidate(fmap, stats, columns, rank, width) for width, rank in ranks.items() if rank > 0
        ]
        if not candidates:
            raise Unsupported(
                f"{fmap.name}: one channel needs {fmap.positions * allowance.widths[-1]} bits; "
                f"{allowance.bits} are allowed"
            )
        best = min(candidates, key=lambda candidate: candidate.error)
        select = torch.eye(fmap.channels)[best.channels]
        return ProChanCodec(fmap, select, best.expand.float(), best.quantizer)

    def _candidate(
        self, fmap: FeatureMap, stats: MapStatistics, columns: Tensor, rank: int, width: int
    ) -> _Candidate:
        channels = select_channels(stats.after.gram, rank)
        hidden, quantizer = columns[channels], None
        if width != FLOAT_BITS:
            quantizer = UniformQuantizer.calibrated(width, hidden, nonnegative=fmap.nonnegative)
            with torch.no_grad():
                hidden = quantizer(hidden)
        expand = least_squares_expansion(columns, hidden)
        error = float((columns - expand @ hidden).square().sum())
        return _Candidate(error, channels, expand, quantizer)


def _columns(sample: Tensor) -> Tensor:
    """(images, C, H, W) → (C, positions) fp64, thinned evenly."""
    columns = sample.transpose(0, 1).flatten(1)
    step = max(1, -(-columns.shape[1] // _POSITIONS))
    return columns[:, ::step].double()
