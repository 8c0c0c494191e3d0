"""The sample of every feature map: both of its sides, as they are for the first calibration images."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from actbench.feature_map import FeatureMap
from actbench.network.tap import Tap, TapSide
from actbench.network.trace import TracedNetwork

SAMPLE_BYTES = 1 << 29
"""The most memory that the kept samples of all maps may take together; one map of one image may always be kept."""


class Images(Protocol):
    """Images in their order, of which some at a time are made ready for a network."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: slice, /) -> Tensor:
        """Some of them, (n, C, H, W) fp32."""


class Samples:
    """As many images as fit into SAMPLE_BYTES with both sides of all maps.

    Where not even one does, that one is kept, of as many maps as fit, in the order in which they are read; who asks for
    another map has the network run again, and the maps from that one's part on take the place of those before. Plans go
    through the maps in their order, so that this costs a pass of one image for every SAMPLE_BYTES. A part of each map
    would be of another size than its codec is for, and fewer bits a value would not be what the network computes.
    """

    def __init__(self, network: TracedNetwork, images: Images) -> None:
        self._network = network
        self._images = images
        self.count = _images_to_keep(network.maps, len(images))
        self._windows = list(_windows(network.maps, self.count))
        self._held: dict[tuple[str, TapSide], Tensor] = {}
        self._window: Collection[str] = self._windows[0] if self._windows else ()

    def keep(self, start: int, fmap: FeatureMap, side: TapSide, x: Tensor) -> None:
        """Keeps what is wanted of a side (n, C, H, W) of images from number `start` on."""
        wanted = self.count - start
        if wanted <= 0 or fmap.name not in self._window:
            return
        if start == 0:
            self._held[fmap.name, side] = torch.empty(self.count, *x.shape[1:])
        self._held[fmap.name, side][start : start + len(x)] = x[:wanted]

    def of(self, name: str, side: TapSide) -> Tensor:
        """The sample (images, C, H, W) fp32 of one side of a map."""
        if name not in self._window:
            self._move_to(name)
        return self._held[name, side]

    def _move_to(self, name: str) -> None:
        self._window = next(names for names in self._windows if name in names)
        self._held = {}
        tap = Tap(self._network)
        for start, batch in batches(self._network, self._images, 1, self.count):
            with torch.no_grad():
                tap.listen(batch, partial(self.keep, start), self._window)


def batches(network: TracedNetwork, images: Images, size: int, count: int) -> Iterator[tuple[int, Tensor]]:
    """Yields the first `count` images, `size` at a time, on the network's device, each time after the number of the
    first of them."""
    device = next((parameter.device for parameter in network.module.parameters()), None)
    for start in range(0, count, size):
        yield start, images[start : min(start + size, count)].to(device)


def _images_to_keep(maps: Sequence[FeatureMap], available: int) -> int:
    return max(1, min(available, SAMPLE_BYTES // max(1, sum(map(_bytes, maps)))))


def _windows(maps: Sequence[FeatureMap], images: int) -> Iterator[list[str]]:
    """Parts the maps, in their order, so that the samples of each part fit."""
    window: list[str] = []
    left = SAMPLE_BYTES
    for fmap in maps:
        if window and images * _bytes(fmap) > left:
            yield window
            window, left = [], SAMPLE_BYTES
        window.append(fmap.name)
        left -= images * _bytes(fmap)
    if window:
        yield window


def _bytes(fmap: FeatureMap) -> int:
    """Both sides of a map of one image in fp32."""
    return 4 * (fmap.elements + fmap.channels * fmap.source[0] * fmap.source[1])
