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
    """Widths are given out one bit at a time, each to the map that needs it most, until the ceiling is reached."""

    stochastic: ClassVar[bool]

    def plan_saving(self, network: Network, stats: Mapping[str, MapStatistics], budget: Budget) -> Plan:
        narrowest, widest = min(budget.bits.widths), min(max(budget.bits.widths), 8)
        limit = budget.ceiling.limit(network.maps)
        widths = {fmap.name: narrowest for fmap in network.maps}
        maps = {fmap.name: fmap for fmap in network.maps}
        errors = {name: relative_range(stats[name]) for name in maps}
        needed = sum(bits_of(fmap, narrowest) for fmap in network.maps)
        if narrowest > widest or needed > limit:
            raise Unsupported(f"codes of {narrowest} bits need {needed} bits an image; {limit} are allowed")
        left = set(maps)
        while left:
            name = max(left, key=lambda name: self.need(errors[name], widths[name], maps[name]))
            more = bits_of(maps[name], widths[name] + 1) - bits_of(maps[name], widths[name])
            if widths[name] == widest or needed + more > limit:
                left.remove(name)
                continue
            widths[name] += 1
            needed += more
        return Plan({n: GroupCodes(f, widths[n], stochastic=self.stochastic) for n, f in maps.items()})

    @abstractmethod
    def need(self, spread: float, width: int, fmap: FeatureMap) -> float:
        """How much a map needs another bit: the largest gets it. `spread`: its relative range."""


class GroupQuantization(Groups):
    """Sensitivity: the relative error that a bit saves, for each bit that it costs (ours; ActNN and GACT weigh with
    gradients, which are not known while planning)."""

    stochastic = True

    def need(self, spread: float, width: int, fmap: FeatureMap) -> float:
        return (relative_error(spread, width) - relative_error(spread, width + 1)) / fmap.elements


class ErrorBound(Groups):
    """The map with the largest relative error gets the next bit: the bound that all maps hold is the least."""

    stochastic = False

    def need(self, spread: float, width: int, fmap: FeatureMap) -> float:
        return relative_error(spread, width)


def relative_error(spread: float, width: int) -> float:
    """`E‖x̂ − x‖²/‖x‖²` with rounding errors that are uniform: `spread / (12·(2^width − 1)²)`."""
    return spread / (12 * ((1 << width) - 1) ** 2)


def relative_range(stats: MapStatistics) -> float:
    """`Σ_groups 256·r² / Σ x²`, r a group's range."""
    groups = grouped(stats.after.sample[:_IMAGES])
    span = ends(groups)[1].double()
    return float(GROUP * span.square().sum() / groups.double().square().sum().clamp_min(1e-30))
