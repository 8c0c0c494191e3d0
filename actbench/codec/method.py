"""Method: what makes codecs for a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from torch import nn

from actbench.budget import Allowance, Budget
from actbench.codec.codec import Codec
from actbench.codec.plain import PlainCodec
from actbench.codec.statistics import MapStatistics
from actbench.errors import Unsupported
from actbench.feature_map import FeatureMap
from actbench.info import OptionValue
from actbench.recipe import PROTOCOL_RECIPE, Recipe, RecipeName


class Network(Protocol):
    """What a method may ask of the network that it compresses."""

    @property
    def maps(self) -> tuple[FeatureMap, ...]:
        """All feature maps, in the order in which they are read."""

    def readers(self, fmap: FeatureMap) -> Sequence[nn.Conv2d | nn.Linear]:
        """The layers with weights that read a map."""

    def loss(self, codecs: Mapping[str, Codec]) -> float:
        """The task's mean loss on some calibration images with these codecs in place, the other maps in fp32."""


@dataclass(frozen=True)
class Plan:
    """A codec for each feature map, by the map's name. A map without one is stored in fp32."""

    codecs: Mapping[str, Codec]
    notes: tuple[str, ...] = field(default=())


class Method:
    """A way to make codecs for a network. Override `codec`, or `plan` to allocate across the whole network; on the
    training track `saving`, or `plan_saving`, where what is saved is encoded otherwise."""

    def __init__(self, options: Mapping[str, OptionValue]) -> None:
        self.options = options

    def codec(self, fmap: FeatureMap, stats: MapStatistics, allowance: Allowance) -> Codec:
        """The best codec for one map within its allowance. Raises Unsupported with the reason where there is none."""
        raise Unsupported(f"{type(self).__name__} defines neither codec nor plan")

    def plan(self, network: Network, stats: Mapping[str, MapStatistics], budget: Budget) -> Plan:
        """A codec for every map. A map that already fits at the widest code is quantised and left alone otherwise."""
        return plan_each_map(network, stats, budget, lambda f, allowed, _: self.codec(f, stats[f.name], allowed))

    def saving(self, fmap: FeatureMap, stats: MapStatistics, allowance: Allowance) -> Codec:
        """Training track: the codec for what the layers that read a map save of it. It stands after the nonlinearity,
        and encodes a batch image by image, or whole, as a payload of one item. The allowance is for one image."""
        return self.codec(fmap, stats, allowance)

    def plan_saving(self, network: Network, stats: Mapping[str, MapStatistics], budget: Budget) -> Plan:
        """Training track: a codec for every map that a trained layer reads; `network.maps` are these. A map that
        already fits at the widest code is quantised and left alone otherwise."""
        return plan_each_map(network, stats, budget, lambda f, allowed, _: self.saving(f, stats[f.name], allowed))

    def recipe(self, name: RecipeName) -> Recipe:
        """How the method is trained in the open division: with the protocol's recipe, in which its options may choose a
        strategy, or with its authors', where MethodInfo.recipe says that there is one."""
        return PROTOCOL_RECIPE


def plan_each_map(
    network: Network,
    stats: Mapping[str, MapStatistics],
    budget: Budget,
    choose: Callable[[FeatureMap, Allowance, Mapping[str, Codec]], Codec],
) -> Plan:
    """A plan made map by map, in the order in which maps are read: a map that already fits at the widest code is
    quantised and left alone otherwise; for every other one `choose` gets the map, its allowance and the codecs of the
    maps before it."""
    codecs: dict[str, Codec] = {}
    for fmap in network.maps:
        allowance = budget.allowance(fmap, network.maps)
        if allowance.leaves_alone(fmap):
            codecs[fmap.name] = PlainCodec.calibrated(fmap, stats[fmap.name], allowance.widths[0])
        else:
            codecs[fmap.name] = choose(fmap, allowance, codecs)
    return Plan(codecs)
