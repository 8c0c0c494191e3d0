"""The network as a method sees it while it plans: maps, their readers, and what codecs cost the task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from actbench.feature_map import FeatureMap
from actbench.method import Codec
from actbench.network.splice import splice
from actbench.network.trace import TracedNetwork
from actbench.workloads.base import ImageSet, Workload

LOSS_IMAGES = 128
"""Calibration images on which a plan may be tried out, evenly spread."""


class PlanningNetwork:
    """See `actbench.method.Network`."""

    def __init__(self, network: TracedNetwork, workload: Workload, calibration: ImageSet, device: torch.device) -> None:
        self._network = network
        self._workload = workload
        self._images = calibration.spread(LOSS_IMAGES)
        self._device = device

    @property
    def maps(self) -> tuple[FeatureMap, ...]:
        """All feature maps, in the order in which they are read."""
        return self._network.maps

    def readers(self, fmap: FeatureMap) -> Sequence[nn.Conv2d | nn.Linear]:
        """The layers with weights that read a map."""
        return self._network.readers(fmap)

    def loss(self, codecs: Mapping[str, Codec]) -> float:
        """The task's mean loss on LOSS_IMAGES calibration images."""
        module = splice(self._network, codecs).module.to(self._device).eval()
        total = 0.0
        with torch.no_grad():
            for images, targets in self._images.batches(64):
                loss = self._workload.loss(module(images.to(self._device)), targets.to(self._device))
                total += float(loss) * len(images)
        return total / len(self._images)
