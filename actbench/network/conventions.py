"""Conventions for counting feature maps otherwise: every nonlinearity's output, and what is alive at the same time."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import TypeVar

from torch import Tensor, fx

from actbench.network import nodes
from actbench.network.live_maps import Held, Timeline, origins
from actbench.network.trace import TracedNetwork

Stored = TypeVar("Stored", bound="int | Tensor")


def activation_bits(network: TracedNetwork, stored: Mapping[str, int], sides: Mapping[str, str]) -> list[int]:
    """Counts the bits of every nonlinearity's output before pooling, from the bits and sides of the maps by their
    names.

    An output that is a map takes the map's bits. One that is pooled into a map takes the bits of a codec before the
    nonlinearity; those of a codec around it in proportion to the size before pooling; in fp32 if the codec comes after.
    One that is computed again from what is in memory is as much smaller as that is.
    """
    bits = {fmap.name: fmap.bits for fmap in network.activations}
    named = {node.name: node for node in network.module.graph.nodes}
    # A nonlinearity's output can be a map and be pooled into another: the map itself comes last, and counts.
    places = sorted(network.places.items(), key=lambda item: _activation_node(named, item[1].map) == item[1].map)
    names = {_activation_node(named, place.map): name for name, place in places}
    order = [node.name for node in network.module.graph.nodes]
    activations = [name for name in order if nodes.is_nonlinearity(named[name])]
    shares = _Shares(network, stored)
    for node_name, fmap in zip(activations, network.activations, strict=True):
        name = names.get(node_name)
        if name is None:
            bits[fmap.name] = int(fmap.bits * shares.of(named[node_name]))
        if name is None or name not in stored:
            continue
        positions = next(other.positions for other in network.maps if other.name == name)
        pooled = network.places[name].map != node_name
        if not pooled or sides.get(name) == "before":
            bits[fmap.name] = stored[name]
        elif sides.get(name) == "around":
            bits[fmap.name] = stored[name] * fmap.positions // positions
    return list(bits.values())


def live_peak(network: TracedNetwork, stored: Mapping[str, int | Tensor]) -> int:
    """Counts the most bits in memory while any layer computes: of every tensor that was written before and is still to
    be read, and of what is being written. `stored`: the maps' bits, by their names; all else is counted in fp32. Of
    maps with a number for each image (images,) it is the peak of the image that has the highest."""
    live = live_bits_by_layer(network, stored).values()
    return max((int(bits.max()) if isinstance(bits, Tensor) else bits for bits in live), default=0)


def live_bits_by_layer(network: TracedNetwork, stored: Mapping[str, Stored]) -> dict[int, int | Stored]:
    """Counts what is in memory while each layer computes that writes something, by the layer's number, as `live_peak`
    does."""
    sizes = _sizes(network, stored)
    times = sorted({tensor.written for tensor in network.held})
    return {time: sum(sizes[other] for other in network.held if other.written <= time <= other.read) for time in times}


def _sizes(network: TracedNetwork, stored: Mapping[str, Stored]) -> dict[Held, int | Stored]:
    """The bits of all that is in memory at some time: what is stored of maps, and the others in fp32."""
    names = {place.map: name for name, place in network.places.items()}
    return {tensor: stored.get(names.get(tensor.node, ""), tensor.bits) for tensor in network.held}


class _Shares:
    """The part of the fp32 bits that remains of what is computed again, from the tensors that it is computed from."""

    def __init__(self, network: TracedNetwork, stored: Mapping[str, int]) -> None:
        self._timeline = Timeline(network.module.graph)
        named = {node.name: node for node in network.module.graph.nodes}
        self._sizes = {named[tensor.node]: (bits, tensor.bits) for tensor, bits in _sizes(network, stored).items()}

    def of(self, node: fx.Node) -> Fraction:
        """The part of a node; 1 where a layer has to compute it again."""
        sizes = [self._sizes[origin] for origin in origins(self._timeline, node, self._sizes) or ()]
        return Fraction(sum(bits for bits, _ in sizes), sum(whole for _, whole in sizes)) if sizes else Fraction(1)


def _activation_node(named: Mapping[str, fx.Node], name: str) -> str:
    """Finds the nonlinearity under a map's pooling, or the map itself where it has none."""
    node = named[name]
    while not nodes.is_nonlinearity(node) and nodes.operation_of(node):
        node = node.all_input_nodes[0]
    return str(node.name)
