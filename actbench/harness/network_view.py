"""The network as a method sees it while it plans: maps, their readers, and what codecs cost the task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from actbench.codec.codec import Codec
from actbench.feature_map import FeatureMap
from actbench.network.batches import Batches
from actbench.network.splice import splice
from actbench.network.trace import TracedNetwork
from actbench.recovery.objectives import Loss


class Tried(Protocol):
    """Images with targets on which a plan is tried out."""

    def __len__(self) -> int: ...

    def select(self, index: slice, /) -> Tried:
        """Selects some of them."""

    def batches(self, size: int, /) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields images (n, C, H, W) and targets (n, …) in order, `size` at a time."""


class PlanningNetwork:
    """The network as `actbench.codec.method.Network` describes it."""

    def __init__(self, network: TracedNetwork, loss: Loss, calibration: Tried, device: torch.device) -> None:
        self._network = network
        self._loss = loss
        self._calibration = calibration
        self._device = device
        self._batches = Batches.of(network)

    @property
    def maps(self) -> tuple[FeatureMap, ...]:
        """All feature maps, in the order in which they are read."""
        return self._network.maps

    def readers(self, fmap: FeatureMap) -> Sequence[nn.Conv2d | nn.ConvTranspose2d | nn.Linear]:
        """The layers with weights that read a map."""
        return self._network.readers(fmap)

    def loss(self, codecs: Mapping[str, Codec]) -> float:
        """The task's mean loss on as many calibration images as a plan is tried out on (`Batches.tried`)."""
        module = splice(self._network, codecs).module.to(self._device).eval()
        tried, total = self._calibration.select(slice(0, self._batches.tried)), 0.0
        with torch.no_grad():
            for images, targets in tried.batches(self._batches.evaluation):
                outputs = module(images.to(self._device))
                total += len(images) * float(self._loss(outputs, targets.to(self._device)))
        return total / len(tried)
