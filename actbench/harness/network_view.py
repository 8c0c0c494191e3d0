"""The network as a method sees it while it plans: maps, their readers, and what codecs cost the task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from actbench.codec.codec import Codec
from actbench.feature_map import FeatureMap
from actbench.fitting.deployed_loss import Labelled, mean_loss
from actbench.network.batches import Batches
from actbench.network.splice import splice
from actbench.network.trace import TracedNetwork
from actbench.recovery.objectives import Loss


class PlanningNetwork:
    """The network as `actbench.codec.method.Network` describes it."""

    def __init__(self, network: TracedNetwork, loss: Loss, calibration: Labelled, device: torch.device) -> None:
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
        tried = self._calibration.select(slice(0, self._batches.tried))
        return mean_loss(module, tried, self._batches.evaluation, self._loss, self._device)
