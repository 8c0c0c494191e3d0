"""Statistics of every feature map, from one pass over the calibration images, computed once and shared by all cells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

import torch
from torch import Tensor

from actbench.codec.statistics import MapStatistics, SideStatistics
from actbench.feature_map import FeatureMap
from actbench.network.batches import Batches
from actbench.network.moments import Moments
from actbench.network.samples import Images, Samples, batches
from actbench.network.tap import Tap, TapSide
from actbench.network.trace import TracedNetwork


class Statistics(Mapping[str, MapStatistics]):
    """Statistics of all maps, by the map's name, from one pass over the images, made the first time that one is asked
    for. `batch`: images in a batch, by default as many as the network's maps let be."""

    def __init__(self, network: TracedNetwork, images: Images, batch: int | None = None) -> None:
        self._network = network
        self._images = images
        self._batch = batch
        self._computed: dict[str, MapStatistics] | None = None

    def __getitem__(self, name: str) -> MapStatistics:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(fmap.name for fmap in self._network.maps)

    def __len__(self) -> int:
        return len(self._network.maps)

    def _all(self) -> dict[str, MapStatistics]:
        if self._computed is None:
            self._computed = collect(self._network, self._images, self._batch)
        return self._computed


def collect(network: TracedNetwork, images: Images, batch: int | None = None) -> dict[str, MapStatistics]:
    """Collects the statistics of all maps in one pass of all `images` (n, C, H, W) through the network, each map while
    it is there."""
    samples = Samples(network, images)
    moments: dict[tuple[str, TapSide], Moments] = {}
    tap = Tap(network)

    def add(start: int, fmap: FeatureMap, side: TapSide, x: Tensor) -> None:
        moments.setdefault((fmap.name, side), Moments()).add(x)
        samples.keep(start, fmap, side, x)

    for start, some in batches(network, images, batch or Batches.of(network).calibration, len(images)):
        with torch.no_grad():
            tap.listen(some, partial(add, start))
    sides = {key: _statistics(collected, samples, *key) for key, collected in moments.items()}
    return {fmap.name: _of_map(fmap.name, sides) for fmap in network.maps}


def _statistics(collected: Moments, samples: Samples, name: str, side: TapSide) -> SideStatistics:
    sample = partial(samples.of, name, side)
    return SideStatistics(sample, *collected.sums(), collected.minimum, collected.maximum)


def _of_map(name: str, sides: Mapping[tuple[str, TapSide], SideStatistics]) -> MapStatistics:
    """A map that no step precedes has one side, which is both."""
    after = sides[name, "after"]
    return MapStatistics(sides.get((name, "before"), after), after)
