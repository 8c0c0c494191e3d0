"""Access to both sides of every feature map while a traced network runs."""

from __future__ import annotations

from torch import Tensor, fx

from actbench.network.trace import TracedNetwork


class Tap(fx.Interpreter):
    """Runs a traced network and hands out each map before its nonlinearity and as its readers read it."""

    def __init__(self, network: TracedNetwork) -> None:
        super().__init__(network.module)
        self._maps = network.maps
        self._places = network.places
        self._side_nodes = {name for place in network.places.values() for name in (place.source, place.map)}
        self._results: dict[str, Tensor] = {}

    def run_node(self, n: fx.Node) -> object:
        """Runs one node, and keeps its result where it is a side of a map."""
        result = super().run_node(n)
        if n.name in self._side_nodes:
            self._results[n.name] = result
        return result

    def sides(self, images: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """Runs the network on images (n, C, H, W) → by the map's name, the map before the nonlinearity and after it."""
        self.run(images)
        sides = {}
        for fmap in self._maps:
            place = self._places[fmap.name]
            pair = self._results[place.source], self._results[place.map]
            sides[fmap.name] = _channels_first(*pair) if fmap.channels_last else pair
        self._results = {}
        return sides


def _channels_first(before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
    return before.permute(0, 3, 1, 2), after.permute(0, 3, 1, 2)
