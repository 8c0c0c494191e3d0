"""ProChan: which projection and width each map has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
    Observable,
    Plan,
    UniformQuantizer,
    Unsupported,
    plan_each_map,
)
from actbench.codec.modules import build_all
from actbench.feature_map import FLOAT_BITS
from actbench.recipe import Recipe, RecipeName
from actbench_plugins.prochan.codec import ProChanCodec
from actbench_plugins.prochan.importance import Layer, importance
from actbench_plugins.prochan.objective import relative_error
from actbench_plugins.prochan.start import default_weights, least_squares_expansion, projection

_IMAGES = 96
"""Images of the calibration sample on which expansions are fitted and candidates compared."""


@dataclass(frozen=True)
class Candidate:
    """A codec to compare with others: `project` (k, C), `expand` (C, k), and `decoded`, what it makes of the sample."""

    project: Tensor
    expand: Tensor
    quantizer: UniformQuantizer | None
    decoded: Tensor


class ProChan(Method):
    """Stores `h = Q(pool(act(P z + p)))` of k channels in `width` bits, `k = floor(bits / (H·W·width))`; `x̂ = E h`.

    P selects channels at the start: a selection commutes with the nonlinearity and with pooling, so that E is an
    ordinary least-squares problem and k = C is exact. E is fitted on the quantised h, and takes up part of the
    quantisation's error. Maps are planned from input to output, each on what the ones before it leave of the network,
    and fitted to the map of the fp32 network: errors do not build up. Rank and width are the pair with the least error
    behind the layers that read the map.
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
        assert isinstance(network, Observable)

        def codec(fmap: FeatureMap, allowance: Allowance, before: Mapping[str, Codec]) -> Codec:
            _check_steps(fmap)
            target = stats[fmap.name].after.sample[:_IMAGES]
            current = network.observe(fmap, before, len(target))
            weights = importance(fmap, network.readers(fmap))
            candidates = self._candidates(fmap, current, target, weights, allowance)
            best = least_error(fmap, network.readers(fmap), target, candidates)
            return ProChanCodec(fmap, best.project.float(), best.expand.float(), best.quantizer)

        return plan_each_map(network, stats, budget, codec)

    def _candidates(
        self, fmap: FeatureMap, current: MapStatistics, target: Tensor, weights: Tensor, allowance: Allowance
    ) -> list[Candidate]:
        """A candidate for each width that leaves at least one channel."""
        start = str(self.options["start"])
        ranks = {width: min(fmap.channels, allowance.rank(fmap.positions, width)) for width in allowance.widths}
        if not any(ranks.values()):
            needed = fmap.positions * allowance.widths[-1]
            raise Unsupported(f"{fmap.name}: one channel needs {needed} bits; {allowance.bits} are allowed")
        return [
            _candidate(
                fmap, projection(start, current, weights, rank), current, target, width, fitted=start != "default"
            )
            for width, rank in ranks.items()
            if rank > 0
        ]


def _check_steps(fmap: FeatureMap) -> None:
    if any(step.by_channel for step in fmap.between):
        raise Unsupported(f"{fmap.name}: its nonlinearity has slopes for each channel, and none for projected ones")


def least_error(
    fmap: FeatureMap, readers: Sequence[Layer], target: Tensor, candidates: Sequence[Candidate]
) -> Candidate:
    """The candidate with the least error behind the layers that read the map."""
    return min(candidates, key=lambda candidate: relative_error(fmap, readers, target, candidate.decoded))


def _candidate(
    fmap: FeatureMap, project: Tensor, current: MapStatistics, target: Tensor, width: int, *, fitted: bool
) -> Candidate:
    quantizer = None
    with torch.no_grad():
        hidden = build_all(fmap.between)(torch.einsum("kc,nchw->nkhw", project.float(), current.before.sample))
        if width != FLOAT_BITS:
            quantizer = UniformQuantizer.calibrated(width, hidden, nonnegative=fmap.nonnegative)
            hidden = quantizer(hidden)
    if fitted:
        expand = least_squares_expansion(_columns(target), _columns(hidden), project.T)
    else:
        expand = default_weights(fmap.channels, len(project))
    return Candidate(project, expand, quantizer, torch.einsum("ck,nkhw->nchw", expand.float(), hidden))


def _columns(x: Tensor) -> Tensor:
    """A column for each position: (images, C, H, W) → (C, positions) fp64."""
    return x.transpose(0, 1).flatten(1).double()
