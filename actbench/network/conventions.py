"""Conventions for counting feature maps otherwise: every nonlinearity's output, and what is alive at the same time."""

from __future__ import annotations

from collections.abc import Mapping

from torch import fx

from actbench.feature_map import FLOAT_BITS
from actbench.network import nodes
from actbench.network.trace import TracedNetwork


def activation_bits(network: TracedNetwork, stored: Mapping[str, int], sides: Mapping[str, str]) -> list[int]:
    """Counts the bits of every nonlinearity's output before pooling, from the bits and sides of the maps by their
    names.

    An output that is a map takes the map's bits. One that is pooled into a map takes the bits of a codec before the
    nonlinearity; those of a codec around it in proportion to the size before pooling; in fp32 if the codec comes after.
    """
    bits = {fmap.name: fmap.bits for fmap in network.activations}
    named = {node.name: node for node in network.module.graph.nodes}
    # A nonlinearity's output can be a map and be pooled into another: the map itself comes last, and counts.
    places = sorted(network.places.items(), key=lambda item: _activation_node(named, item[1].map) == item[1].map)
    names = {_activation_node(named, place.map): name for name, place in places}
    order = [node.name for node in network.module.graph.nodes]
    activations = [name for name in order if nodes.is_nonlinearity(named[name])]
    for node_name, fmap in zip(activations, network.activations, strict=True):
        name = names.get(node_name)
        if name is None or name not in stored:
            continue
        positions = next(other.positions for other in network.maps if other.name == name)
        pooled = network.places[name].map != node_name
        if not pooled or sides.get(name) == "before":
            bits[fmap.name] = stored[name]
        elif sides.get(name) == "around":
            bits[fmap.name] = stored[name] * fmap.positions // positions
    return list(bits.values())


def live_peak(network: TracedNetwork, stored: Mapping[str, int]) -> int:
    """Counts the most bits alive at once while any layer computes: the map that it reads, and every map or branch that
    was written before and is still to be read. What is no map is counted in fp32."""
    graph = network.module.graph
    position = {node: index for index, node in enumerate(graph.nodes)}
    by_node = {place.map: stored[name] for name, place in network.places.items() if name in stored}
    maps = {place.map for place in network.places.values()}
    kept = [node for node in graph.nodes if node.name in maps or _waits_for_addition(node, position)]
    sizes = {node: by_node.get(node.name, _fp32_bits(node)) for node in kept}
    last = {node: max((position[user] for user in node.users), default=position[node]) for node in kept}
    steps = [position[node] for node in graph.nodes if nodes.is_convolution(node) or nodes.is_linear_on_map(node)]
    return max((sum(sizes[node] for node in kept if position[node] < step <= last[node]) for step in steps), default=0)


def _activation_node(named: Mapping[str, fx.Node], name: str) -> str:
    """Finds the nonlinearity under a map's pooling, or the map itself where it has none."""
    node = named[name]
    while not nodes.is_nonlinearity(node) and nodes.operation_of(node):
        node = node.all_input_nodes[0]
    return str(node.name)


def _waits_for_addition(node: fx.Node, position: Mapping[fx.Node, int]) -> bool:
    """Whether a four-dimensional tensor is read by a join while a layer computes in between."""
    if len(nodes.shape(node)) != 4 or node.op == "placeholder":
        return False
    joins = [user for user in node.users if len(user.all_input_nodes) > 1 and not nodes.is_convolution(user)]
    return any(
        nodes.is_convolution(other) and position[node] < position[other] < position[join]
        for join in joins
        for other in node.graph.nodes
    )


def _fp32_bits(node: fx.Node) -> int:
    elements = 1
    for size in nodes.shape(node)[1:]:
        elements *= size
    return elements * FLOAT_BITS
