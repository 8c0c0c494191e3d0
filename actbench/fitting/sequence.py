"""Sequence: maps are compressed one after the other while images pass through the network."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, fx

from actbench.codec.layouts import as_map, as_tensor
from actbench.feature_map import FeatureMap
from actbench.network.trace import TracedNetwork

Compress = Callable[[FeatureMap, Tensor, Tensor], Tensor]
"""Is handed a map before its nonlinearity and after it, (n, C, H, W) each, as compressed maps before it leave them, and
gives what its readers get in its place."""


class CompressingRun(fx.Interpreter):
    """Runs a traced network once, and hands each map to `compress` in the moment in which it is computed."""

    def __init__(self, network: TracedNetwork, compress: Compress) -> None:
        super().__init__(network.module)
        self._compress = compress
        self._sources: dict[str, list[FeatureMap]] = {}
        self._maps: dict[str, FeatureMap] = {}
        self._before: dict[str, Tensor] = {}
        for fmap in network.maps:
            place = network.places[fmap.name]
            self._sources.setdefault(place.source, []).append(fmap)
            self._maps[place.map] = fmap

    def run_node(self, n: fx.Node) -> object:
        """Runs one node; a map's readers get what was made of it."""
        result = super().run_node(n)
        if not isinstance(result, Tensor):
            return result
        for above in self._sources.get(n.name, ()):
            self._before[above.name] = as_map(result, above.layout)
        fmap = self._maps.get(n.name)
        if fmap is None:
            return result
        decoded = self._compress(fmap, self._before.pop(fmap.name), as_map(result, fmap.layout))
        return as_tensor(decoded, fmap.layout)
