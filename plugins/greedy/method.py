"""Greedy compression-aware projection: how many components of which map, and in which width."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from actbench.codec import Budget, Codec, FeatureMap, MapStatistics, Method, Network, PlainCodec, Plan, UniformQuantizer
from actbench.codec.principal_components import Components
from actbench.feature_map import FLOAT_BITS
from actbench.recipe import PROTOCOL_RECIPE, Recipe, RecipeName
from actbench_plugins.greedy.allocation import Ladder, Rung, Score, allocate, convex, efficient, fit
from actbench_plugins.greedy.codec import ComponentCodec
from actbench_plugins.greedy.distortion import Distortion, plain_errors
from actbench_plugins.greedy.metrics import METRICS, by_loss

_STEPS = 16
"""Steps from all of a map's components to none, under a traffic ceiling."""


class GreedyProjection(Method):
    """Stores K principal components of the tensor before the nonlinearity in b bits, `K·H·W·b` bits; or the map as it
    is read, in b bits.

    Under a peak ceiling each map has the K and b of least predicted error that fit. Under a traffic ceiling all maps
    start whole in the widest codes and take steps to fewer components, by C/16, or to narrower codes, the best in
    `metric` first, until they fit.
    """

    def recipe(self, name: RecipeName) -> Recipe:
        return Recipe(trained="codecs") if name == "paper" else PROTOCOL_RECIPE

    def plan(self, network: Network, stats: Mapping[str, MapStatistics], budget: Budget) -> Plan:
        limit = budget.ceiling.limit(network.maps)
        components = {fmap.name: Components.of(stats[fmap.name].before) for fmap in network.maps}
        ladders = {
            fmap.name: self._ladder(fmap, components[fmap.name], stats[fmap.name], budget) for fmap in network.maps
        }
        if budget.ceiling.kind == "traffic":
            chosen = allocate(ladders, limit, self._score(network, stats, components, ladders))
        else:
            chosen = {name: fit(name, ladder, limit) for name, ladder in ladders.items()}
        return Plan({f.name: _codec(f, stats[f.name], components[f.name], chosen[f.name]) for f in network.maps})

    def _score(
        self,
        network: Network,
        stats: Mapping[str, MapStatistics],
        components: Mapping[str, Components],
        ladders: Mapping[str, Ladder],
    ) -> Score:
        if self.options["metric"] != "loss":
            return METRICS[str(self.options["metric"])](ladders)
        maps = {fmap.name: fmap for fmap in network.maps}
        codecs: dict[tuple[str, Rung], Codec] = {}

        def codec(name: str, rung: Rung) -> Codec:
            if (name, rung) not in codecs:
                codecs[name, rung] = _codec(maps[name], stats[name], components[name], rung)
            return codecs[name, rung]

        return by_loss(lambda rungs: network.loss({name: codec(name, rung) for name, rung in rungs.items()}))

    def _ladder(self, fmap: FeatureMap, components: Components, stats: MapStatistics, budget: Budget) -> Ladder:
        """The map as it is in the widest codes, then what is efficient of narrower codes and of pairs of K and b; under
        a traffic ceiling, what is convex of it."""
        widths, traffic = budget.bits.widths, budget.ceiling.kind == "traffic"
        plain = plain_errors(fmap, stats, widths)
        error = Distortion.of(components, stats.before.sample, widths)
        positions = fmap.source[0] * fmap.source[1]
        step = max(1, fmap.channels // _STEPS) if traffic else 1
        whole = [Rung(None, width, fmap.elements * width, plain[width]) for width in widths]
        projected = [
            Rung(rank, width, rank * positions * width, error(rank, width))
            for rank in {1, *range(fmap.channels, 0, -step)}
            for width in widths
        ]
        ladder = efficient(whole[0], [*whole[1:], *projected])
        return convex(ladder) if traffic else ladder


def _codec(fmap: FeatureMap, stats: MapStatistics, components: Components, rung: Rung) -> Codec:
    if rung.rank is None:
        return PlainCodec.calibrated(fmap, stats, rung.width)
    leading = components.only(slice(rung.rank))
    if rung.width == FLOAT_BITS:
        return ComponentCodec(leading, None)
    z: Tensor = leading.of_images(stats.before.sample)
    return ComponentCodec(leading, UniformQuantizer.calibrated(rung.width, z))
