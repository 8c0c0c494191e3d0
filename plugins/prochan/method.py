"""ProChan: which projection and width each map has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from actbench.codec import (
    Allowance,
    Budget,
    Codec,
    FeatureMap,
    MapStatistics,
    Method,
    Network,
    Plan,
    UniformQuantizer,
    Unsupported,
    fit_decoder,
    plan_each_map,
    reader_error,
)
from actbench.codec.modules import build_all
from actbench.feature_map import FLOAT_BITS
from actbench.recipe import Recipe, RecipeName
from actbench_plugins.prochan.codec import ProChanCodec
from actbench_plugins.prochan.importance import Layer, importance
from actbench_plugins.prochan.start import default_weights, projections

_IMAGES = 32
"""Images of the calibration sample on which expansions are fitted and candidates compared."""


class ProChan(Method):
    """Stores `h = Q(pool(act(P z + p)))` of k channels in `width` bits, `k = floor(bits / (H·W·width))`; `x̂ = E h`.

    P selects channels at the start: a selection commutes with the nonlinearity and with pooling, so that E is an
    ordinary least-squares problem and k = C is exact. E is fitted on the quantised h, and takes up part of the
    quantisation's error. Rank and width are the pair with the least error behind the layers that read the map.
    """

    def recipe(self, name: RecipeName) -> Recipe:
        """The protocol's optimiser, steps and data, with the strategies that the options choose."""
        options: Mapping[str, Any] = self.options
        return Recipe(
            insertion=options["insertion"],
            trained="codecs" if options["trained"] == "projections" else "everything",
            loss=options["loss"],
            batch_statistics=options["normalisation"],
        )

    def plan(self, network: Network, stats: Mapping[str, MapStatistics], budget: Budget) -> Plan:
        def codec(fmap: FeatureMap, observed: MapStatistics, allowance: Allowance) -> Codec:
            _check_steps(fmap)
            candidates = self._candidates(fmap, observed, importance(fmap, network.readers(fmap)), allowance)
            return least_error(fmap, network.readers(fmap), observed, candidates)

        return plan_each_map(network, stats, budget, codec)

    def _candidates(
        self, fmap: FeatureMap, observed: MapStatistics, weights: Tensor, allowance: Allowance
    ) -> list[ProChanCodec]:
        """A candidate for each width that leaves at least one channel."""
        start = str(self.options["start"])
        ranks = {width: min(fmap.channels, allowance.rank(fmap.positions, width)) for width in allowance.widths}
        ranks = {width: rank for width, rank in ranks.items() if rank > 0}
        if not ranks:
            needed = fmap.positions * allowance.widths[-1]
            raise Unsupported(f"{fmap.name}: one channel needs {needed} bits; {allowance.bits} are allowed")
        project = projections(start, observed, weights, set(ranks.values()))
        return [
            _candidate(fmap, project[rank], observed, width, fitted=start != "default") for width, rank in ranks.items()
        ]


def _check_steps(fmap: FeatureMap) -> None:
    if any(step.by_channel for step in fmap.between):
        raise Unsupported(f"{fmap.name}: its nonlinearity has slopes for each channel, and none for projected ones")


@torch.no_grad()
def least_error(
    fmap: FeatureMap, readers: Sequence[Layer], observed: MapStatistics, candidates: Sequence[ProChanCodec]
) -> ProChanCodec:
    """The candidate with the least error behind the layers that read the map."""
    before, target = _sample(observed)
    return min(candidates, key=lambda codec: reader_error(fmap, readers, target, codec(before)))


@torch.no_grad()
def _candidate(fmap: FeatureMap, project: Tensor, observed: MapStatistics, width: int, *, fitted: bool) -> ProChanCodec:
    before, target = _sample(observed)
    quantizer = None
    if width != FLOAT_BITS:
        hidden = build_all(fmap.between)(torch.einsum("kc,nchw->nkhw", project.float(), before))
        quantizer = UniformQuantizer.calibrated(width, hidden, nonnegative=fmap.nonnegative)
    expand = project.T if fitted else default_weights(fmap.channels, len(project))
    codec = ProChanCodec(fmap, project.float(), expand.float(), quantizer)
    if fitted:
        fit_decoder(codec.decoder, codec.read(before), target)
    return codec


def _sample(observed: MapStatistics) -> tuple[Tensor, Tensor]:
    """Images before the nonlinearity, and as they are read."""
    return observed.before.sample[:_IMAGES], observed.after.sample[:_IMAGES]
