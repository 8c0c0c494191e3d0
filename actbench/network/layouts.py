"""Finds which tensors of a graph hold maps, and how: (batch, C, H, W), channels last, or tokens.

Channels of tokens (batch, N, C), and of windows, are the last dimension where a linear layer or a layer normalisation
reads or writes them, and in what is computed elementwise from such. Which dimension counts images is found by running
two of them. What attention reads, (batch, heads, N, d), holds no map: the tokens that it is a view of do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isqrt
from typing import Any

import torch
from torch import Tensor, fx, nn

from actbench.feature_map import CHANNELS_FIRST, CHANNELS_LAST, Layout
from actbench.network import nodes
from actbench.network.cheap_steps import is_cheap


def mark_layouts(module: fx.GraphModule, input_shapes: Sequence[tuple[int, ...]]) -> None:
    """Marks the nodes of a graph, of which the shapes for one image are known, that hold maps, with their layouts.
    `input_shapes`: of one image, for each of the inputs."""
    graph, last = module.graph, nodes.channels_last(module.graph)
    heads = set(_heads(graph))
    for node in graph.nodes:
        parts = nodes.shapes(node) if not nodes.shape(node) else []
        node.meta["parts_of_tokens"] = any(len(part) == 3 for part in parts) or any(
            user in heads for user in node.users
        )
    rows = {node for node in _tokens(graph) | last if not _is_of_one_image(node)}
    for node in graph.nodes:
        if _is_of_one_image(node) and node not in heads:
            node.meta["layout"] = CHANNELS_LAST if node in last else CHANNELS_FIRST
    for node, shape in _shapes_of_two(module, input_shapes).items() if rows else ():
        layout = _layout(nodes.shape(node), shape) if node in rows else None
        if layout is not None:
            node.meta["layout"] = layout


def _is_of_one_image(node: fx.Node) -> bool:
    return len(nodes.shape(node)) == 4 and nodes.shape(node)[0] == 1


def _tokens(graph: fx.Graph) -> set[fx.Node]:
    """Three-dimensional tensors whose channels are the last dimension."""
    found: set[fx.Node] = set()
    for node in graph.nodes:
        if len(nodes.shape(node)) == 3 and nodes.is_floating(node):
            alike = (read in found and nodes.shape(read) == nodes.shape(node) for read in nodes.read_by(node))
            if _works_on_channels(node) or any(map(_works_on_channels, node.users)) or (is_cheap(node) and any(alike)):
                found.add(node)
    return found


def _works_on_channels(node: fx.Node) -> bool:
    layer = nodes.module_of(node)
    return isinstance(layer, nn.Linear) or (isinstance(layer, nn.LayerNorm) and len(layer.normalized_shape) == 1)


def _heads(graph: fx.Graph) -> Iterator[fx.Node]:
    """What attention reads and gives, and the same in another order or computed from it elementwise."""
    seen: set[fx.Node] = set()
    left = [near for node in graph.nodes if nodes.is_attention(node) for near in (node, *nodes.read_by(node))]
    while left:
        node = left.pop()
        if node not in seen and len(nodes.shape(node)) == 4 and not nodes.has_weights(node):
            seen.add(node)
            yield node
            before = nodes.read_by(node) if is_cheap(node) else []
            near = [*before, *(user for user in node.users if is_cheap(user))]
            left += [other for other in near if sorted(nodes.shape(other)) == sorted(nodes.shape(node))]


def _layout(one: tuple[int, ...], two: tuple[int, ...]) -> Layout | None:
    """The layout of a tensor, channels last, that has these shapes for one image and for two; None where not exactly
    one dimension before the last counts images."""
    counting = [place for place, (size, twice) in enumerate(zip(one, two, strict=True)) if size != twice]
    if len(counting) != 1 or counting[0] == len(one) - 1 or two[counting[0]] != 2 * one[counting[0]]:
        return None
    batch = counting[0]
    order = (batch, *(place for place in range(len(one)) if place != batch))
    sizes, windows = tuple(one[place] for place in order[1:]), one[batch]
    height, width = sizes[:2] if len(sizes) == 3 else _grid(sizes[0])
    return Layout(order, sizes, (windows * height, width))


def _grid(tokens: int) -> tuple[int, int]:
    side = isqrt(tokens)
    return (side, side) if side * side == tokens else (tokens, 1)


class _Shapes(fx.Interpreter):
    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.found: dict[fx.Node, tuple[int, ...]] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if isinstance(result, Tensor):
            self.found[n] = tuple(result.shape)
        return result


def _shapes_of_two(module: fx.GraphModule, input_shapes: Sequence[tuple[int, ...]]) -> dict[fx.Node, tuple[int, ...]]:
    parameter = next(module.parameters(), torch.empty(0))
    shapes = _Shapes(module)
    with torch.no_grad():
        shapes.run(*(torch.zeros(2, *shape, device=parameter.device) for shape in input_shapes))
    return shapes.found
