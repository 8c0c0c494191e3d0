"""Finds what is in memory while a layer computes: each tensor once, where it is smallest.

Layers compute one after the other. What lies between two of them is cheap, and computed again whenever it is read; so
what has to be kept are tensors from which everything that a later layer or join reads can be computed by cheap steps
alone: a vertex cut of the graph, between the layers that write and whatever is read later. The smallest cut is taken,
and of several the one that is nearest to the readers: behind a nonlinearity rather than before it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from math import prod

import networkx
from torch import fx

from actbench.feature_map import FLOAT_BITS, Lifetime
from actbench.network import nodes
from actbench.network.cheap_steps import is_cheap

_SOURCE, _SINK = "layers", "readers"


@dataclass(frozen=True)
class Held:
    """A tensor that is kept, by its node's name: its bits in fp32, the number of the layer that has to have computed
    when it is `written`, and of the last one that computes while it is needed, `read`."""

    node: str
    bits: int
    written: int
    read: int


class Timeline:
    """The layers of a graph, numbered from 1 in their order, and for every node the `time` at which it can be computed:
    the last layer that it depends on. The image, and what is computed from it before the first layer, has time 0."""

    def __init__(self, graph: fx.Graph) -> None:
        self.layers: set[fx.Node] = set()
        self.time: dict[fx.Node, int] = {}
        of_image: set[fx.Node] = set()
        for node in graph.nodes:
            self.time[node] = max((self.time[read] for read in nodes.read_by(node)), default=0)
            if node.op == "placeholder" or any(read in of_image for read in nodes.read_by(node)):
                of_image.add(node)
                if self._is_layer(node):
                    self.layers.add(node)
                    self.time[node] = len(self.layers)

    def _is_layer(self, node: fx.Node) -> bool:
        return nodes.has_weights(node) or (self.time[node] > 0 and node.op != "output" and not is_cheap(node))

    def read_later(self) -> Iterator[tuple[fx.Node, int]]:
        """Yields every tensor that is still read when a later layer computes, and that layer's number."""
        for node, time in self.time.items():
            if node.op != "output":
                yield from ((read, time) for read in nodes.read_by(node) if 0 < self.time[read] < time)


def kept(timeline: Timeline, stored: Collection[fx.Node] = ()) -> list[fx.Node]:
    """The least that has to be kept beside what is `stored` anyway, in the order of the graph."""
    flow = _flow(timeline, stored)
    # Of all smallest cuts this is the one whose side of the readers is smallest: what can reach them in the residual.
    _, (_, behind) = networkx.minimum_cut(flow, _SOURCE, _SINK)
    return [
        node
        for node in timeline.time
        if (node.name, "in") not in behind and (node.name, "out") in behind and node not in stored
    ]


def _flow(timeline: Timeline, stored: Collection[fx.Node]) -> networkx.DiGraph:
    """The network whose minimum cut says what is kept: an edge through each node, with the node's cost; one from every
    layer's result to the cheap steps that read it; all edges but those through nodes cannot be cut."""
    flow = networkx.DiGraph()
    flow.add_nodes_from((_SOURCE, _SINK))
    for node, time in timeline.time.items():
        if time > 0:
            cost = 0 if node in stored else _elements(node) * len(timeline.time) + (not _is_at_home(node))
            flow.add_edge((node.name, "in"), (node.name, "out"), capacity=cost)
            before = [] if node in timeline.layers else nodes.read_by(node)
            flow.add_edges_from(((read.name, "out"), (node.name, "in")) for read in before if timeline.time[read] > 0)
    flow.add_edges_from((_SOURCE, (layer.name, "in")) for layer in timeline.layers)
    flow.add_edges_from(((node.name, "out"), _SINK) for node, _ in timeline.read_later())
    return flow


def held(timeline: Timeline, tensors: Collection[fx.Node]) -> tuple[Held, ...]:
    """Until when each of the tensors is needed; from them, all that is read later can be computed by cheap steps."""
    read: dict[fx.Node, int] = {}
    for node, time in timeline.read_later():
        for origin in origins(timeline, node, tensors) or ():
            read[origin] = max(read.get(origin, 0), time)
    return tuple(
        Held(node.name, _elements(node) * FLOAT_BITS, timeline.time[node], read[node])
        for node in timeline.time
        if node in read
    )


def find_lifetimes(tensors: Sequence[Held], maps: Collection[str]) -> dict[str, Lifetime]:
    """When each of the maps, by their nodes' names, is in memory, and how much there is beside that is no map."""
    others = [tensor for tensor in tensors if tensor.node not in maps]

    def beside(moment: int) -> int:
        return sum(other.bits for other in others if other.written <= moment <= other.read)

    of_maps = [tensor for tensor in tensors if tensor.node in maps]
    with_maps = {moment for one in of_maps for moment in range(one.written, one.read + 1)}
    elsewhere = max((beside(other.written) for other in others if other.written not in with_maps), default=0)
    return {
        one.node: Lifetime(one.written, one.read, tuple(map(beside, range(one.written, one.read + 1))), elsewhere)
        for one in of_maps
    }


def origins(timeline: Timeline, node: fx.Node, tensors: Collection[fx.Node]) -> set[fx.Node] | None:
    """The nearest of the tensors from which a node is computed by cheap steps, None where it takes a layer too."""
    found, seen, left = set(), {node}, [node]
    while left:
        current = left.pop()
        if current in tensors:
            found.add(current)
        elif current in timeline.layers:
            return None
        else:
            new = [read for read in nodes.read_by(current) if read not in seen]
            seen.update(new)
            left += new
    return found


def is_map(node: fx.Node) -> bool:
    """Whether a node gives C×H×W values of one image, in floating point: what a codec can stand for."""
    return nodes.is_floating(node) and nodes.layout(node) is not None


def _is_at_home(node: fx.Node) -> bool:
    """Whether it is no loss to keep a tensor here rather than where it has another form: maps, and vectors, which are
    none, but not the parts of tokens."""
    return is_map(node) or (len(nodes.shape(node)) <= 2 and not node.meta.get("parts_of_tokens"))


def _elements(node: fx.Node) -> int:
    return sum(map(prod, nodes.shapes(node)))
