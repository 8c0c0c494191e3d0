"""Statistics of every feature map, from one pass over the calibration images, computed once and shared by all cells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from actbench.codec.codec import Codec
from actbench.codec.statistics import MapStatistics, SideStatistics
from actbench.feature_map import FeatureMap
from actbench.network.splice import splice
from actbench.network.tap import Tap
from actbench.network.trace import TracedNetwork

SAMPLE_BYTES = 1 << 29
"""The most memory that the kept samples of all maps may take together."""


class Statistics(Mapping[str, MapStatistics]):
    """Statistics of all maps, by the map's name, from one pass over the images, made the first time that one is asked
    for."""

    def __init__(self, network: TracedNetwork, images: Tensor, batch: int = 64) -> None:
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


def collect(network: TracedNetwork, images: Tensor, batch: int = 64) -> dict[str, MapStatistics]:
    """Collects the statistics of all maps in one pass of all `images` (n, C, H, W) through the network."""
    kept = _images_to_keep(network, len(images))
    sums = {name: (_Sums(), _Sums()) for name in network.places}
    tap = Tap(network)
    for start in range(0, len(images), batch):
        with torch.no_grad():
            sides = tap.sides(images[start : start + batch])
        for name, (before, after) in sides.items():
            sums[name][0].add(before, kept - start)
            sums[name][1].add(after, kept - start)
    return {name: MapStatistics(before.finish(), after.finish()) for name, (before, after) in sums.items()}


def observe(network: TracedNetwork, fmap: FeatureMap, codecs: Mapping[str, Codec], images: Tensor) -> MapStatistics:
    """Collects the statistics of one map behind maps with codecs in place, itself without one."""
    place = network.places[fmap.name]
    compressed = replace(network, module=splice(network, codecs).module, maps=(fmap,), places={fmap.name: place})
    return collect(compressed, images)[fmap.name]


class _Sums:
    """Sums over the batches for one side of one map: moments about the first batch's mean, as products of large values
    would drown the differences between them."""

    def __init__(self) -> None:
        self.shift: Tensor | None = None
        self.total = torch.zeros(())
        self.products = torch.zeros(())
        self.count = 0
        self.minimum, self.maximum = float("inf"), float("-inf")
        self.sample: list[Tensor] = []

    def add(self, x: Tensor, keep: int) -> None:
        columns = x.transpose(0, 1).flatten(1).float()
        if self.shift is None:
            self.shift = columns.mean(1)
        low, high = columns.aminmax()
        self.minimum, self.maximum = min(self.minimum, float(low)), max(self.maximum, float(high))
        columns = columns - self.shift[:, None]
        self.total = self.total + columns.sum(1).double().cpu()
        self.products = self.products + (columns @ columns.T).double().cpu()
        self.count += columns.shape[1]
        if keep > 0:
            self.sample.append(x[:keep].float().cpu())

    def finish(self) -> SideStatistics:
        assert self.shift is not None
        shift, count = self.shift.double().cpu(), self.count
        cross = torch.outer(shift, self.total)
        products = self.products + cross + cross.T + count * torch.outer(shift, shift)
        total = self.total + count * shift
        return SideStatistics(torch.cat(self.sample), total, products, count, self.minimum, self.maximum)


def _images_to_keep(network: TracedNetwork, available: int) -> int:
    """Counts the images that fit into SAMPLE_BYTES with both sides of all maps, one at least."""
    elements = sum(fmap.elements + fmap.channels * fmap.source[0] * fmap.source[1] for fmap in network.maps)
    return max(1, min(available, SAMPLE_BYTES // (4 * max(1, elements))))
