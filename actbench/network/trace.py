"""Finds the feature maps of a model, each counted once, the image excluded."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from torch import fx, nn

from actbench.codec.modules import NONLINEARITIES
from actbench.feature_map import CHANNELS_FIRST, FeatureMap, Layout, Maps, Operation, Reader
from actbench.network import nodes
from actbench.network.cheap_steps import is_rearrangement
from actbench.network.layers import arguments
from actbench.network.layouts import mark_layouts
from actbench.network.live_maps import Held, Timeline, find_lifetimes, held, is_map, kept
from actbench.network.ways import WAYS, Way, follow

_ATTENTION = {"scaled_dot_product_attention": "attention", "multiheadattention": "attention"}


@dataclass(frozen=True)
class Place:
    """Place of a map in the graph: the node before its nonlinearity, and the node that its readers read."""

    source: str
    map: str


@dataclass(frozen=True)
class TracedNetwork:
    """A model in evaluation mode as a graph, and the feature maps in it.

    `maps`: what is compressed, in the order in which it is written. `activations`: every nonlinearity's output before
    pooling. `input_shape`: of one image, (C, H, W). `held`: all tensors that are in memory while a layer computes.
    `way`: how it was traced; `notes`: what its user should know. `tensors`: which of the model's parameters and buffers
    each of the module's is, by their names.
    """

    module: fx.GraphModule
    maps: tuple[FeatureMap, ...]
    activations: tuple[FeatureMap, ...]
    places: dict[str, Place]
    input_shape: tuple[int, ...]
    held: tuple[Held, ...] = ()
    way: Way = "fx"
    notes: tuple[str, ...] = ()
    tensors: Mapping[str, str] = field(default_factory=dict)

    def readers(self, fmap: FeatureMap) -> Sequence[nn.Conv2d | nn.ConvTranspose2d | nn.Linear]:
        """Layers with weights that read a map."""
        named = dict(self.module.named_modules())
        layers = [named.get(reader.name) for reader in fmap.readers]
        return [layer for layer in layers if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)]

    @property
    def parameters(self) -> int:
        """Number of the model's parameters."""
        return sum(parameter.numel() for parameter in self.module.parameters())


def trace(
    model: nn.Module,
    input_shape: tuple[int, ...],
    maps: Maps = "live",
    *,
    others: Sequence[tuple[int, ...]] = (),
    ways: Collection[Way] = WAYS,
) -> TracedNetwork:
    """Traces a model and finds its feature maps, those of a convention. `others`: shapes of what it takes beside the
    image; `ways`: those that are tried. Raises UserError, naming the line, where it cannot be traced."""
    traced = follow(model, input_shape, *others, ways=ways)
    module = traced.module
    nodes.mark_additions(module.graph)
    mark_layouts(module, [input_shape, *others])
    timeline = Timeline(module.graph)
    found = _conv_inputs(timeline) if maps == "conv-inputs" else [node for node in kept(timeline) if is_map(node)]
    named = _named(timeline, found)
    in_memory = held(timeline, {*found, *kept(timeline, found)})
    lifetimes = find_lifetimes(in_memory, {node.name for node in found})
    described = (_describe(name, node, *_source(node)) for node, name in named.items())
    return TracedNetwork(
        module,
        tuple(replace(fmap, alive=lifetimes[node.name]) for fmap, node in zip(described, named, strict=True)),
        _activations(module.graph),
        {name: Place(_source(node)[0].name, node.name) for node, name in named.items()},
        input_shape,
        in_memory,
        traced.way,
        traced.notes,
        traced.tensors,
    )


def _conv_inputs(timeline: Timeline) -> list[fx.Node]:
    """Finds what convolutions, and linear layers on maps, read, in the order of the graph."""
    return [
        node
        for node, time in timeline.time.items()
        if time > 0 and is_map(node) and any(_is_layer_on(node, user) for user in node.users)
    ]


def _is_layer_on(node: fx.Node, user: fx.Node) -> bool:
    return nodes.reads_a_map(user) and user.all_input_nodes[0] is node


def _named(timeline: Timeline, found: Sequence[fx.Node]) -> dict[fx.Node, str]:
    """Names each of the nodes after the first layer that reads it, or after its first reader where no layer does. Of
    several that a module reads, the one that it reads first has the module's name."""
    position = {node: index for index, node in enumerate(timeline.time)}

    def first(node: fx.Node) -> fx.Node:
        return min(nodes.readers(node), key=lambda user: not _is_layer_on(node, user))

    names: dict[str, fx.Node] = {}
    for node in sorted(found, key=lambda node: position[first(node)]):
        reader = first(node)
        names[_unique(nodes.path_of(reader) or reader.name, names)] = node
    by_node = {node: name for name, node in names.items()}
    return {node: by_node[node] for node in found}


def _source(node: fx.Node) -> tuple[fx.Node, tuple[Operation, ...]]:
    """Walks up past pooling and one nonlinearity, and gives the node that it finds and the steps that it passed."""
    between: list[Operation] = []
    while True:
        operation = nodes.operation_of(node)
        if operation is not None:
            between.insert(0, operation)
        else:
            return node, tuple(between)
        node = node.all_input_nodes[0]
        if operation is not None and operation.name in NONLINEARITIES:
            return node, tuple(between)


def _describe(name: str, node: fx.Node, source: fx.Node, between: tuple[Operation, ...]) -> FeatureMap:
    layout = nodes.layout(node) or CHANNELS_FIRST
    channels, height, width = _of_one_image(node, layout)
    readers = tuple(map(_reader, _reached(node) if layout.grid else nodes.readers(node)))
    size = _of_one_image(source, layout)[1:]
    return FeatureMap(name, channels, height, width, _producer(source), readers, between, size, layout)


def _of_one_image(node: fx.Node, layout: Layout) -> tuple[int, int, int]:
    """C, H, W of all that a node gives of one image: windows in the place of the batch are one under the other."""
    if layout.grid:
        return layout.sizes[-1], layout.grid[0], layout.grid[1]
    windows, *sizes = nodes.shape(node)
    channels, height, width = sizes if layout.channels_first else (sizes[2], *sizes[:2])
    return channels, windows * height, width


def _reached(node: fx.Node) -> list[fx.Node]:
    """The readers of tokens: what reads them through views, attention for example."""
    found: dict[fx.Node, None] = {}
    for user in nodes.readers(node):
        found |= dict.fromkeys(_reached(user) if is_rearrangement(user) else [user])
    return list(found)


def _reader(node: fx.Node) -> Reader:
    module = nodes.module_of(node)
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        kernel, stride, kind = module.kernel_size, module.stride, "conv"
        if isinstance(module, nn.ConvTranspose2d):
            kind = "conv_transpose"
        return Reader(nodes.label(node), kind, (kernel[0], kernel[1]), (stride[0], stride[1]), module.groups)
    if isinstance(module, nn.Linear):
        return Reader(nodes.label(node), "linear")
    if module is None and nodes.is_convolution(node):
        return _convolution(node)
    name = type(module).__name__.lower() if module else nodes.function_name(node).strip("_")
    return Reader(nodes.label(node), _ATTENTION.get(name, name))


def _convolution(node: fx.Node) -> Reader:
    """A convolution whose weights are computed, and which is no layer of the model's therefore."""
    given = arguments(node)
    kernel, stride = nodes.shape(given["weight"])[2:], given.get("stride", 1)
    steps = (stride, stride) if isinstance(stride, int) else (tuple(stride) * 2)[:2]
    kind = "conv" if nodes.function_name(node) == "conv2d" else "conv_transpose"
    return Reader(nodes.label(node), kind, (kernel[0], kernel[1]), (steps[0], steps[1]), given.get("groups", 1))


def _producer(source: fx.Node) -> str:
    """Names the layer that computes a map: the convolution under a normalisation, or an addition."""
    module = nodes.module_of(source)
    if isinstance(module, nn.BatchNorm2d | nn.GroupNorm | nn.LayerNorm):
        return nodes.label(source.all_input_nodes[0])
    return nodes.label(source)


def _activations(graph: fx.Graph) -> tuple[FeatureMap, ...]:
    activations: dict[str, FeatureMap] = {}
    for node in graph.nodes:
        operation = nodes.operation_of(node)
        if operation is not None and nodes.is_nonlinearity(node):
            name = _unique(nodes.label(node), activations)
            source = node.all_input_nodes[0]
            activations[name] = _describe(name, node, source, (operation,))
    return tuple(activations.values())


def _unique(name: str, taken: Mapping[str, object]) -> str:
    """Makes a name that is not taken: of a module that is called twice, the second map is called `name@2`."""
    count, unique = 1, name
    while unique in taken:
        count += 1
        unique = f"{name}@{count}"
    return unique
