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
    """Network as a method sees it: all that a method may ask of the network that it compresses."""

    @property
    def maps(self) -> tuple[FeatureMap, ...]:
        """All feature maps, in the order in which they are read."""

    def readers(self, fmap: FeatureMap) -> Sequence[nn.Conv2d | nn.ConvTranspose2d | nn.Linear]:
        """Layers with weights that read a map."""

    def loss(self, codecs: Mapping[str, Codec]) -> float:
        """Evaluates the task's mean loss on some calibration images with these codecs, by the map's name, in place, and
        all other maps in fp32."""


@dataclass(frozen=True)
class Plan:
    """A codec for each feature map, by the map's name. A map without one is stored in fp32."""

    codecs: Mapping[str, Codec]
    notes: tuple[str, ...] = field(default=())


class Method:
    """A way to make codecs for a network, with the options that its registration declares.

    Override `codec`, or `plan` to allocate across the whole network; on the training track `saving`, or `plan_saving`,
    where what is saved is encoded otherwise.
    """

    def __init__(self, options: Mapping[str, OptionValue]) -> None:
        self.options = options

    def codec(self, fmap: FeatureMap, stats: MapStatistics, allowance: Allowance) -> Codec:
        """Makes the best codec for one map, from the map's statistics, within its allowance: the bits that one image
        may take. Raises Unsupported with the reason where there is none."""
        raise Unsupported(f"{type(self).__name__} defines neither codec nor plan")

    def plan(self, network: Network, stats: Mapping[str, MapStatistics], budget: Budget) -> Plan:
        """Plans a codec for every map, from statistics by the map's name. Where a map that fits into plain codes is
        better off in them, the harness stores it so, for every method alike. Raises Unsupported with the reason where
        the budget cannot be met."""
        return plan_each_map(network, stats, budget, self.codec)

    def saving(self, fmap: FeatureMap, stats: MapStatistics, allowance: Allowance) -> Codec:
        """Makes the codec, on the training track, for what the layers that read a map save of it. It stands after the
        nonlinearity, and encodes a batch image by image, or whole, as a payload of one item. The allowance is for one
        image."""
        return self.codec(fmap, stats, allowance)

    def plan_saving(self, network: Network, stats: Mapping[str, MapStatistics], budget: Budget) -> Plan:
        """Plans a codec, on the training track, for every map that a trained layer reads; `network.maps` are these. A
        map that already fits at the widest code is quantised and left alone otherwise."""

        def choose(fmap: FeatureMap, observed: MapStatistics, allowance: Allowance) -> Codec:
            if allowance.leaves_alone(fmap):
                return PlainCodec.calibrated(fmap, observed, allowance.widths[0])
            return self.saving(fmap, observed, allowance)

        return plan_each_map(network, stats, budget, choose)

    def recipe(self, name: RecipeName) -> Recipe:
        """Chooses how the method is trained in the open division: with the protocol's recipe, in which its options may
        choose a strategy, or with its authors', where MethodInfo.recipe says that there is one."""
        return PROTOCOL_RECIPE


def plan_each_map(
    network: Network,
    stats: Mapping[str, MapStatistics],
    budget: Budget,
    choose: Callable[[FeatureMap, MapStatistics, Allowance], Codec],
) -> Plan:
    """Plans map by map: `choose` gets each map with its statistics and its allowance. Where it raises Unsupported for a
    map that fits into plain codes, these are its codec. Raises what `choose` raises for any other.

    Example:
        >>> maps = FeatureMap("small", 2, 4, 4, "conv1", ()), FeatureMap("large", 16, 4, 4, "conv2", ())
        >>> stats = {fmap.name: MapStatistics.of(torch.randn(8, fmap.channels, 4, 4)) for fmap in maps}
        >>> def choose(fmap, observed, allowance):
        ...     return PlainCodec.calibrated(fmap, observed, allowance.plain_width(fmap))
        >>> budget = Budget(Ceiling.parse("8x"), Bits.parse("w8a2-8"))
        >>> plan = plan_each_map(SimpleNamespace(maps=maps), stats, budget, choose)
        >>> {name: codec.describe() for name, codec in plan.codecs.items()}
        {'small': {'bits': 8}, 'large': {'bits': 4}}
    """

    def codec(fmap: FeatureMap) -> Codec:
        allowance = budget.allowance(fmap, network.maps)
        try:
            return choose(fmap, stats[fmap.name], allowance)
        except Unsupported:
            width = allowance.plain_width(fmap)
            if width is None:
                raise
            return PlainCodec.calibrated(fmap, stats[fmap.name], width)

    return Plan({fmap.name: codec(fmap) for fmap in network.maps})
