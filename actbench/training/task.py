"""Task of the training track: the last convolutions of a network, or all of it, and what they read."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import fx, nn

from actbench.codec.codec import Codec
from actbench.errors import Unsupported
from actbench.feature_map import FeatureMap
from actbench.network.trace import TracedNetwork
from actbench.settings import Normalisation
from actbench.training.prepare import prepare


@dataclass(frozen=True)
class TrainingTask:
    """A network with its last convolutions to be trained, and the maps that these read.

    `layers`: names of the trained convolutions that read each map, by the map's name. The image counts as no map.
    """

    network: TracedNetwork
    last: int | None
    maps: tuple[FeatureMap, ...]
    layers: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, network: TracedNetwork, last: int | None) -> TrainingTask:
        """Makes the task of training the last so many convolutions and the head, or for None everything."""
        named = dict(network.module.named_modules())
        called = [str(node.target) for node in network.module.graph.nodes if node.op == "call_module"]
        convolutions = [name for name in called if isinstance(named[name], nn.Conv2d | nn.ConvTranspose2d)]
        if last is not None and not 1 <= last <= len(convolutions):
            raise Unsupported(f"--last {last}: the network has {len(convolutions)} convolutions")
        trained = set(convolutions if last is None else convolutions[-last:])
        layers = {f.name: tuple(r.name for r in f.readers if r.name in trained) for f in network.maps}
        layers = {name: readers for name, readers in layers.items() if readers}
        return cls(network, last, tuple(fmap for fmap in network.maps if fmap.name in layers), layers)

    @property
    def view(self) -> TracedNetwork:
        """Network with these maps alone."""
        return replace(self.network, maps=self.maps)

    def vanilla(self) -> fx.GraphModule:
        """Copies the network to be trained as it is; with the last convolutions alone, normalisations are frozen, in
        evaluation."""
        module = copy.deepcopy(self.network.module)
        for parameter in module.parameters():
            parameter.requires_grad_(self.last is None)
        for part in module.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.train(self.last is None)
        trained = {name for names in self.layers.values() for name in names}
        for name, part in module.named_modules():
            if name in trained or isinstance(part, nn.Linear):
                part.requires_grad_(True)
        return module

    def compressed(self, codecs: Mapping[str, Codec], normalisation: Normalisation = "quantised") -> fx.GraphModule:
        """Copies the network so that the trained convolutions save their inputs as payloads, ReLUs one bit a value,
        normalisations 8 bits a value, or nothing where they are frozen, or what `normalisation` says."""
        by_layer = {layer: codecs[name] for name, layers in self.layers.items() if name in codecs for layer in layers}
        return prepare(self.vanilla(), by_layer, normalisation=normalisation)
