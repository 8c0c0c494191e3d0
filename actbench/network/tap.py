"""Access to both sides of every feature map while a traced network runs."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Literal

from torch import Tensor, fx

from actbench.codec.layouts import as_map
from actbench.feature_map import FeatureMap
from actbench.network.trace import TracedNetwork

TapSide = Literal["before", "after"]
"""A map before its nonlinearity, or as its readers read it."""

Listener = Callable[[FeatureMap, TapSide, Tensor], None]
"""Is handed a side (n, C, H, W) of a map."""


class Tap(fx.Interpreter):
    """Runs a traced network and hands out each map before its nonlinearity and as its readers read it."""

    def __init__(self, network: TracedNetwork) -> None:
        super().__init__(network.module)
        self._network = network
        self._heard: dict[str, list[tuple[FeatureMap, TapSide]]] = {}
        self._listener: Listener = lambda fmap, side, x: None

    def run_node(self, n: fx.Node) -> object:
        """Runs one node, and hands its result out where it is a side of a map."""
        result = super().run_node(n)
        for fmap, side in self._heard.get(n.name, ()):
            assert isinstance(result, Tensor)
            self._listener(fmap, side, as_map(result, fmap.layout))
        return result

    def listen(self, images: Tensor, listener: Listener, names: Collection[str] | None = None) -> None:
        """Runs the network on images (n, C, H, W), and hands the sides of maps, or of those with some names, to a
        listener the moment they are computed: no map lives longer than the network needs it, unless the listener keeps
        it. A map that no step precedes is handed out once, as both sides are one: `after`."""
        self._heard, self._listener = {}, listener
        for fmap in self._network.maps:
            if names is None or fmap.name in names:
                place = self._network.places[fmap.name]
                self._heard.setdefault(place.map, []).append((fmap, "after"))
                if place.source != place.map:
                    self._heard.setdefault(place.source, []).append((fmap, "before"))
        self.run(images)

    def sides(self, images: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """Runs the network on images (n, C, H, W) → by the map's name, the map before the nonlinearity and after it."""
        kept: dict[tuple[str, str], Tensor] = {}
        self.listen(images, lambda fmap, side, x: kept.__setitem__((fmap.name, side), x))
        names = [fmap.name for fmap in self._network.maps]
        return {name: (kept.get((name, "before"), kept[name, "after"]), kept[name, "after"]) for name in names}
