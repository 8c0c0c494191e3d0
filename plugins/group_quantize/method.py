"""Which width each saved map has: the least error in sum, or the least bound that all maps hold."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from actbench.codec import Budget, FeatureMap, MapStatistics, Method, Network, Plan, Unsupported
from actbench_plugins.group_quantize.codec import GROUP, GroupCodes, bits_of, ends, grouped

_IMAGES = 16
"""Images of the calibration sample on which ranges are measured."""


class Groups(Method):
    """Gives out widths one bit at a time, each to the map that needs it most, until the ceiling is reached."""

    stochastic: ClassVar[bool]

    def plan_saving(self, network: Network, stats: Mapping[str, MapStatistics], budget: Budget) -> Plan:
        narrowest, widest = min(budget.bits.widths), min(max(budget.bits.widths), 8)
        limit = budget.ceiling.limit(network.maps)
        maps = {fmap.name: fmap for fmap in network.maps}
        widths = dict.fromkeys(maps, narrowest)
        spreads = {name: relative_range(stats[name]) for name in maps}
        needed = sum(bits_of(fmap, narrowest) for fmap in network.maps)
        if narrowest > widest or needed > limit:
            raise Unsupported(f"codes of {narrowest} bits need {needed} bits an image; {limit} are allowed")
        growing = list(maps)
        while growing:
            name = max(growing, key=lambda name: self.need(spreads[name], widths[name], maps[name]))
            added = bits_of(maps[name], widths[name] + 1) - bits_of(maps[name], widths[name])
            if widths[name] == widest or needed + added > limit:
                growing.remove(name)
                continue
            widths[name] += 1
            needed += added
        return Plan({name: GroupCodes(fmap, widths[name], stochastic=self.stochastic) for name, fmap in maps.items()})

    @abstractmethod
    def need(self, spread: float, width: int, fmap: FeatureMap) -> float:
        """How much a map needs another bit: the largest gets it. `spread`: its relative range."""


class GroupQuantization(Groups):
    """Gives bits by sensitivity: the relative error that a bit saves, for each bit that it costs (ours; ActNN and GACT
    weigh with gradients, which are not known while planning)."""

    stochastic = True

    def need(self, spread: float, width: int, fmap: FeatureMap) -> float:
        return (relative_error(spread, width) - relative_error(spread, width + 1)) / fmap.elements


class ErrorBound(Groups):
    """Gives the next bit to the map with the largest relative error: the bound that all maps hold is the least."""

    stochastic = False

    def need(self, spread: float, width: int, fmap: FeatureMap) -> float:
        return relative_error(spread, width)


def relative_error(spread: float, width: int) -> float:
    """The expected `‖x̂ − x‖²/‖x‖²` where rounding errors are uniform: `spread / (12·(2^width − 1)²)`."""
    return spread / (12 * ((1 << width) - 1) ** 2)


def relative_range(stats: MapStatistics) -> float:
    """The squared ranges of a map's groups over its energy: `Σ_groups 256·r² / Σ x²`, r a group's range."""
    groups = grouped(stats.after.sample[:_IMAGES])
    span = ends(groups)[1].double()
    return float(GROUP * span.square().sum() / groups.double().square().sum().clamp_min(1e-30))
