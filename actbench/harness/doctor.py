"""What can be done with a network before anything is run: how it was traced, its maps, and what the runtime, folding
and quantisation cannot reach, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from actbench.budget import Bits
from actbench.codec.plain import PlainCodec
from actbench.feature_map import FLOAT_BITS
from actbench.measure.compute import in_fp32
from actbench.network import nodes
from actbench.network.conventions import live_peak
from actbench.network.deploy import deploy
from actbench.network.live_maps import Timeline, origins
from actbench.network.splice import splice
from actbench.network.trace import TracedNetwork
from actbench.network.ways import TOLERANCE, Way, difference
from actbench.runtime.network import StripedNetwork

_FOLDED_TOLERANCE = 1e-3
"""What sums that are taken in another order may add up to in a deep network."""


@dataclass(frozen=True)
class Examination:
    """What was found; sizes in values of one image.

    `identity_error` and `deployed_error`: by how much outputs differ with codecs in place that change nothing, as the
    largest difference over the largest magnitude, before folding and after it. `beside_maps`: tensors that wait in fp32
    and are no maps. `uncounted`: layers that read other tensors than maps, with those tensors' shapes. `not_folded`:
    normalisations that stay; `not_quantised`: parameters that stay in fp32, by the layer that reads them; `whole`:
    steps that cannot work on a few rows.
    """

    way: Way
    maps: int
    peak: int
    traffic: int
    live: int
    parameters: int
    identity_error: float
    deployed_error: float
    outputs: str
    notes: tuple[str, ...]
    beside_maps: Mapping[str, int]
    uncounted: Mapping[str, str]
    not_folded: tuple[str, ...]
    not_quantised: Mapping[str, str]
    whole: tuple[str, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """What makes results of little use, or wrong."""
        found = list(self.notes)
        if not self.maps:
            found.append(
                "no feature map: no C×H×W nor tokens of an image wait between two layers, nothing is compressed"
            )
        if self.identity_error > TOLERANCE:
            found.append(f"outputs differ by {self.identity_error:.1e} with codecs that change nothing")
        if self.deployed_error > _FOLDED_TOLERANCE:
            found.append(f"outputs differ by {self.deployed_error:.1e} in the deployed form")
        return tuple(found)


def examine(network: TracedNetwork, *images: Tensor) -> Examination:
    """Examines a traced network with a batch of images (n, C, H, W), and of what else it takes."""
    spliced = splice(network, {fmap.name: PlainCodec(None) for fmap in network.maps})
    deployed = deploy(spliced, FLOAT_BITS)
    with torch.no_grad():
        expected = network.module(*images)
        identity, folded = (difference(expected, one.module(*images)) for one in (spliced, deployed))
    sizes = [fmap.elements for fmap in network.maps]
    in_maps = {place.map for place in network.places.values()}
    return Examination(
        way=network.way,
        maps=len(network.maps),
        peak=max(sizes, default=0),
        traffic=sum(sizes),
        live=live_peak(network, {}) // FLOAT_BITS,
        parameters=network.parameters,
        identity_error=identity,
        deployed_error=folded,
        outputs=_form(expected),
        notes=network.notes,
        beside_maps={held.node: held.bits // FLOAT_BITS for held in network.held if held.node not in in_maps},
        uncounted=_uncounted(network),
        not_folded=_normalisations(deployed.module),
        not_quantised=in_fp32(deployed.module, Bits.parse("w8a8"), *(each[:1] for each in images)),
        whole=StripedNetwork(deployed.module).schedule(tuple(images[0].shape)).whole if len(images) == 1 else (),
    )


def _uncounted(network: TracedNetwork) -> dict[str, str]:
    """Layers whose input is computed neither from the image nor from maps alone."""
    timeline = Timeline(network.module.graph)
    maps = {node for node in timeline.time if node.name in {place.map for place in network.places.values()}}
    found: dict[str, str] = {}
    for layer in sorted(timeline.layers, key=timeline.time.__getitem__):
        read = [node for node in nodes.read_by(layer) if timeline.time[node] > 0]
        others = [node for node in read if not origins(timeline, node, maps)]
        if others:
            found[nodes.label(layer)] = ", ".join("×".join(map(str, nodes.shape(node))) or "?" for node in others)
    return found


def _normalisations(module: fx.GraphModule) -> tuple[str, ...]:
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    return tuple(nodes.label(node) for node in module.graph.nodes if isinstance(nodes.module_of(node), kinds))


def _form(outputs: object) -> str:
    """What a network gives, in words."""
    if isinstance(outputs, Tensor):
        return "×".join(map(str, outputs.shape[1:])) or "a number"
    if isinstance(outputs, Mapping):
        return "a dictionary of " + ", ".join(map(str, outputs))
    if isinstance(outputs, list | tuple):
        return f"{len(outputs)} outputs"
    return type(outputs).__name__
