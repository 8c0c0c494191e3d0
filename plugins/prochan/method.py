"""ProChan: which channels of which map, and in which width."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from actbench.feature_map import FLOAT_BITS
from actbench.method import (
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
from actbench.quantizers import UniformQuantizer
from actbench_plugins.prochan.codec import ProChanCodec
from actbench_plugins.prochan.objective import Layer, importance, relative_error
from actbench_plugins.prochan.start import least_squares_expansion, select_channels

_POSITIONS = 8192
"""Positions of the calibration sample on which an expansion is fitted."""

_IMAGES = 16
"""Images of the calibration sample on which candidates are compared."""


@dataclass(frozen=True)
class _Candidate:
    channels: Tensor
    expand: Tensor
    quantizer: UniformQuantizer | None

    def codec(self, fmap: FeatureMap) -> ProChanCodec:
        select = torch.eye(fmap.channels)[self.channels]
        return ProChanCodec(fmap, select, self.expand.float(), self.quantizer)

    def reconstruct(self, x: Tensor) -> Tensor:
        """What the codec makes of a map: a selection commutes with the nonlinearity, so the map itself will do."""
        hidden = x[:, self.channels]
        if self.quantizer is not None:
            hidden = self.quantizer(hidden)
        return torch.einsum("ck,nkhw->nchw", self.expand.float(), hidden)


class ProChan(Method):
    """Stores `h = Q(pool(act(P z + p)))` of k channels in `width` bits, `k = floor(bits / (H·W·width))`; `x̂ = E h`.

    P selects channels at the start: a selection commutes with the nonlinearity and with pooling, so that E is an
    ordinary least-squares problem and k = C is exact. E is fitted on the quantised h, and takes up part of the
    quantisation's error. Rank and width are the pair with the least error behind the layers that read the map.
    """

    def plan(self, network: Network, stats: Mapping[str, MapStatistics], budget: Budget) -> Plan:
        codecs: dict[str, Codec] = {}
        for fmap in network.maps:
            allowance = budget.allowance(fmap, network.maps)
            if allowance.leaves_alone(fmap):
                codecs[fmap.name] = PlainCodec.calibrated(fmap, stats[fmap.name], allowance.widths[0])
            else:
                codecs[fmap.name] = _best(fmap, stats[fmap.name], allowance, network.readers(fmap)).codec(fmap)
        return Plan(codecs)


def _best(fmap: FeatureMap, stats: MapStatistics, allowance: Allowance, readers: Sequence[Layer]) -> _Candidate:
    """The candidate with the least error among the widths that leave at least one channel."""
    weights, columns = importance(fmap, readers), _columns(stats.after.sample)
    ranks = {width: min(fmap.channels, allowance.rank(fmap.positions, width)) for width in allowance.widths}
    candidates = [
        _candidate(fmap, columns, select_channels(stats.after.gram, weights, rank), width)
        for width, rank in ranks.items()
        if rank > 0
    ]
    if not candidates:
        needed = fmap.positions * allowance.widths[-1]
        raise Unsupported(f"{fmap.name}: one channel needs {needed} bits; {allowance.bits} are allowed")
    images = stats.after.sample[:_IMAGES]
    with torch.no_grad():
        errors = [relative_error(fmap, readers, images, candidate.reconstruct(images)) for candidate in candidates]
    return candidates[min(range(len(errors)), key=errors.__getitem__)]


def _candidate(fmap: FeatureMap, columns: Tensor, channels: Tensor, width: int) -> _Candidate:
    hidden, quantizer = columns[channels], None
    if width != FLOAT_BITS:
        quantizer = UniformQuantizer.calibrated(width, hidden, nonnegative=fmap.nonnegative)
        with torch.no_grad():
            hidden = quantizer(hidden)
    return _Candidate(channels, least_squares_expansion(columns, hidden), quantizer)


def _columns(sample: Tensor) -> Tensor:
    """(images, C, H, W) → (C, positions) fp64, thinned evenly."""
    columns = sample.transpose(0, 1).flatten(1)
    step = max(1, -(-columns.shape[1] // _POSITIONS))
    return columns[:, ::step].double()
