"""Greedy compression-aware projection: how many components of which map, and in which width."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

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
    UniformQuantizer,
)
from actbench.codec.principal_components import Components
from actbench.feature_map import FLOAT_BITS
from actbench.recipe import Recipe, RecipeName
from actbench_plugins.greedy.allocation import Score, Setting, Settings, allocate, convex, efficient, fit
from actbench_plugins.greedy.codec import ComponentCodec
from actbench_plugins.greedy.distortion import Distortion, plain_errors
from actbench_plugins.greedy.learned import LearnedComponentCodec
from actbench_plugins.greedy.metrics import METRICS, by_loss

_STEPS = 16
"""Steps from all of a map's components to none, under a traffic ceiling."""


class GreedyProjection(Method):
    """Stores K principal components of the tensor before the nonlinearity in b bits, `K·H·W·b` bits; or the map as it
    is read, in b bits.

    Under a ceiling on the largest map or on what is in memory at once, each map has the K and b of least predicted
    error that fit. Under a traffic ceiling all maps start whole in the widest codes and take steps to fewer components,
    by C/16, or to narrower codes, the best in `metric` first, until they fit. Recovery can learn another K and b for
    the same bits.
    """

    def recipe(self, name: RecipeName) -> Recipe:
        learned = self.options["widths"] == "learned"
        return Recipe(trained="codecs" if name == "paper" else "everything", gradual=learned)

    def plan(self, network: Network, stats: Mapping[str, MapStatistics], budget: Budget) -> Plan:
        components = {fmap.name: Components.of(stats[fmap.name].before) for fmap in network.maps}
        settings = {
            fmap.name: _settings(fmap, components[fmap.name], stats[fmap.name], budget) for fmap in network.maps
        }
        if budget.ceiling.kind == "traffic":
            score = self._score(network, stats, components, settings)
            chosen = allocate(settings, budget.ceiling.limit(network.maps), score)
            # A map has the bits of its setting: what one took more, others would have less.
            bits = {name: setting.bits for name, setting in chosen.items()}
        else:
            bits = {fmap.name: budget.share(fmap, network.maps) for fmap in network.maps}
            chosen = {name: fit(name, map_settings, bits[name]) for name, map_settings in settings.items()}
        codecs = {
            fmap.name: _codec(fmap, stats[fmap.name], components[fmap.name], chosen[fmap.name]) for fmap in network.maps
        }
        if self.options["widths"] == "planned":
            return Plan(codecs)
        widths = budget.bits.widths
        return Plan(
            {fmap.name: _learned(codecs[fmap.name], fmap, Allowance(bits[fmap.name], widths)) for fmap in network.maps}
        )

    def _score(
        self,
        network: Network,
        stats: Mapping[str, MapStatistics],
        components: Mapping[str, Components],
        settings: Mapping[str, Settings],
    ) -> Score:
        if self.options["metric"] != "loss":
            return METRICS[str(self.options["metric"])](settings)
        maps = {fmap.name: fmap for fmap in network.maps}
        codecs: dict[tuple[str, Setting], Codec] = {}

        def codec(name: str, setting: Setting) -> Codec:
            if (name, setting) not in codecs:
                codecs[name, setting] = _codec(maps[name], stats[name], components[name], setting)
            return codecs[name, setting]

        return by_loss(lambda chosen: network.loss({name: codec(name, setting) for name, setting in chosen.items()}))


def _settings(fmap: FeatureMap, components: Components, stats: MapStatistics, budget: Budget) -> Settings:
    """The map as it is in the widest codes, then what is efficient of narrower codes and of pairs of K and b; under a
    traffic ceiling, what is convex of it."""
    widths, traffic = budget.bits.widths, budget.ceiling.kind == "traffic"
    plain = plain_errors(fmap, stats, widths)
    error = Distortion.of(components, stats.before.sample, widths)
    positions = fmap.source[0] * fmap.source[1]
    step = max(1, fmap.channels // _STEPS) if traffic else 1
    whole = [Setting(None, width, fmap.elements * width, plain[width]) for width in widths]
    projected = [
        Setting(rank, width, rank * positions * width, error(rank, width))
        for rank in {1, *range(fmap.channels, 0, -step)}
        for width in widths
    ]
    settings = efficient(whole[0], [*whole[1:], *projected])
    return convex(settings) if traffic else settings


def _codec(fmap: FeatureMap, stats: MapStatistics, components: Components, setting: Setting) -> Codec:
    if setting.rank is None:
        return PlainCodec.calibrated(fmap, stats, setting.width)
    leading = components.only(slice(setting.rank))
    if setting.width == FLOAT_BITS:
        return ComponentCodec(leading, None)
    z: Tensor = leading.of_images(stats.before.sample)
    return ComponentCodec(leading, UniformQuantizer.calibrated(setting.width, z))


def _learned(codec: Codec, fmap: FeatureMap, allowance: Allowance) -> Codec:
    """The codec with a setting that recovery can learn; the same where there is no other."""
    if not isinstance(codec, ComponentCodec) or len(allowance.widths) == 1:
        return codec
    return LearnedComponentCodec(codec, allowance, fmap.source[0] * fmap.source[1])
