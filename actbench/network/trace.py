"""Finds the feature maps of a model, each counted once, the image excluded."""

from __future__ import annotations

import copy
import traceback
from collections.abc import Collection, Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path

import torch
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.utils._pytree import tree_leaves

from actbench.codec.modules import NONLINEARITIES
from actbench.errors import UserError
from actbench.feature_map import FeatureMap, Maps, Operation, Reader
from actbench.network import nodes
from actbench.network.live_maps import Held, Timeline, find_lifetimes, held, is_map, kept


@dataclass(frozen=True)
class Place:
    """Place of a map in the graph: the node before its nonlinearity, and the node that its readers read."""

    source: str
    map: str


@dataclass(frozen=True)
class TracedNetwork:
    """A model in evaluation mode as a graph, and the feature maps in it.

    `maps`: what is compressed, in the order in which it is written. `activations`: every nonlinearity's output before
    pooling. `input_shape`: (C, H, W) of one image. `held`: all tensors that are in memory while a layer computes.
    """

    module: fx.GraphModule
    maps: tuple[FeatureMap, ...]
    activations: tuple[FeatureMap, ...]
    places: dict[str, Place]
    input_shape: tuple[int, int, int]
    held: tuple[Held, ...] = ()

    def readers(self, fmap: FeatureMap) -> Sequence[nn.Conv2d | nn.ConvTranspose2d | nn.Linear]:
        """Layers with weights that read a map."""
        named = dict(self.module.named_modules())
        layers = [named.get(reader.name) for reader in fmap.readers]
        return [layer for layer in layers if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)]

    @property
    def parameters(self) -> int:
        """Number of the model's parameters."""
        return sum(parameter.numel() for parameter in self.module.parameters())


def trace(model: nn.Module, input_shape: tuple[int, int, int], maps: Maps = "live") -> TracedNetwork:
    """Traces a model and finds its feature maps, those of a convention. Raises UserError, naming the line, where it
    cannot be traced."""
    module = _symbolic_trace(copy.deepcopy(model).eval())
    nodes.simplify(module)
    _propagate_shapes(module, input_shape)
    _check_outputs(copy.deepcopy(model).eval(), module, input_shape)
    nodes.mark_additions(module.graph)
    timeline = Timeline(module.graph)
    found = _conv_inputs(timeline) if maps == "conv-inputs" else [node for node in kept(timeline) if is_map(node)]
    named, last = _named(timeline, found), nodes.channels_last(module.graph)
    in_memory = held(timeline, {*found, *kept(timeline, found)})
    lifetimes = find_lifetimes(in_memory, {node.name for node in found})
    described = (_describe(name, node, *_source(node), channels_last=node in last) for node, name in named.items())
    return TracedNetwork(
        module,
        tuple(replace(fmap, alive=lifetimes[node.name]) for fmap, node in zip(described, named, strict=True)),
        _activations(module.graph, last),
        {name: Place(_source(node)[0].name, node.name) for node, name in named.items()},
        input_shape,
        in_memory,
    )


def _symbolic_trace(model: nn.Module) -> fx.GraphModule:
    try:
        return fx.symbolic_trace(model)
    except Exception as error:
        frame = _offending_frame(error)
        where = f"{Path(frame.filename).name}:{frame.lineno}: {frame.line}" if frame else "an unknown line"
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"{type(model).__name__} cannot be traced at `{where}` ({reason}): make what that line does independent "
            "of the tensors' values, or move it into a function marked with torch.fx.wrap"
        ) from error


def _offending_frame(error: Exception) -> traceback.FrameSummary | None:
    inside = str(Path(torch.__file__).parent)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(inside)]
    outside = [frame for frame in frames if frame.filename != __file__ and not frame.filename.startswith("<")]
    return outside[-1] if outside else None


def _propagate_shapes(module: fx.GraphModule, input_shape: tuple[int, int, int]) -> None:
    parameter = next(module.parameters(), torch.empty(0))
    image = torch.zeros(1, *input_shape, dtype=parameter.dtype, device=parameter.device)
    try:
        # ShapeProp prints the traceback of what it raises.
        with torch.no_grad(), redirect_stderr(StringIO()):
            ShapeProp(module).propagate(image)
    except RuntimeError as error:
        size = "×".join(map(str, input_shape))
        reason = (str(error.__cause__ or error).splitlines() or [""])[0]
        raise UserError(f"the model does not accept an image of {size}: {reason}") from error


def _check_outputs(model: nn.Module, module: fx.GraphModule, input_shape: tuple[int, int, int]) -> None:
    """Raises UserError where the traced network is another function: after a write through a view, for example."""
    parameter = next(module.parameters(), torch.empty(0))
    if parameter.is_meta:
        return
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, *input_shape, generator=generator).to(parameter.device, parameter.dtype)
    with torch.no_grad():
        expected, traced = model(image.clone()), module(image)
    for before, after in zip(tree_leaves(expected), tree_leaves(traced), strict=True):
        if isinstance(before, torch.Tensor) and not torch.allclose(before, after, rtol=1e-3, atol=1e-5, equal_nan=True):
            raise UserError(
                f"{type(model).__name__} gives other outputs when it is traced: it writes into a tensor in place that "
                "it reads elsewhere, or is random in evaluation mode"
            )


def _conv_inputs(timeline: Timeline) -> list[fx.Node]:
    """Finds what convolutions, and linear layers on maps, read, in the order of the graph."""
    return [
        node
        for node, time in timeline.time.items()
        if time > 0 and any(_is_layer_on(node, user) for user in node.users)
    ]


def _is_layer_on(node: fx.Node, user: fx.Node) -> bool:
    return nodes.reads_a_map(user) and user.all_input_nodes[0] is node


def _named(timeline: Timeline, found: Sequence[fx.Node]) -> dict[fx.Node, str]:
    """Names each of the nodes after the first layer that reads it, or after its first reader where no layer does. Of
    several that a module reads, the one that it reads first has the module's name."""
    position = {node: index for index, node in enumerate(timeline.time)}

    def first(node: fx.Node) -> fx.Node:
        readers = [user for user in node.users if not nodes.asks_for_form(user)]
        return min(readers, key=lambda user: (not _is_layer_on(node, user), position[user]))

    names: dict[str, fx.Node] = {}
    for node in sorted(found, key=lambda node: position[first(node)]):
        reader = first(node)
        names[_unique(str(reader.target) if reader.op == "call_module" else reader.name, names)] = node
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


def _describe(
    name: str, node: fx.Node, source: fx.Node, between: tuple[Operation, ...], *, channels_last: bool
) -> FeatureMap:
    sizes, source_sizes = nodes.shape(node)[1:], nodes.shape(source)[1:]
    if channels_last:
        sizes, source_sizes = (sizes[2], *sizes[:2]), (source_sizes[2], *source_sizes[:2])
    channels, height, width = sizes
    readers = tuple(_reader(user) for user in node.users if not nodes.asks_for_form(user))
    size = (source_sizes[1], source_sizes[2])
    return FeatureMap(name, channels, height, width, _producer(source), readers, between, size, channels_last)


def _reader(node: fx.Node) -> Reader:
    module = nodes.module_of(node)
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        kernel, stride, kind = module.kernel_size, module.stride, "conv"
        if isinstance(module, nn.ConvTranspose2d):
            kind = "conv_transpose"
        return Reader(nodes.label(node), kind, (kernel[0], kernel[1]), (stride[0], stride[1]), module.groups)
    if isinstance(module, nn.Linear):
        return Reader(nodes.label(node), "linear")
    name = type(module).__name__.lower() if module else nodes.function_name(node).strip("_")
    return Reader(nodes.label(node), name)


def _producer(source: fx.Node) -> str:
    """Names the layer that computes a map: the convolution under a normalisation, or an addition."""
    module = nodes.module_of(source)
    if isinstance(module, nn.BatchNorm2d | nn.GroupNorm | nn.LayerNorm):
        return nodes.label(source.all_input_nodes[0])
    return nodes.label(source)


def _activations(graph: fx.Graph, last: Collection[fx.Node]) -> tuple[FeatureMap, ...]:
    activations: dict[str, FeatureMap] = {}
    for node in graph.nodes:
        operation = nodes.operation_of(node)
        if operation is not None and nodes.is_nonlinearity(node):
            name = _unique(nodes.label(node), activations)
            source = node.all_input_nodes[0]
            activations[name] = _describe(name, node, source, (operation,), channels_last=node in last)
    return tuple(activations.values())


def _unique(name: str, taken: Mapping[str, object]) -> str:
    """Makes a name that is not taken: of a module that is called twice, the second map is called `name@2`."""
    count, unique = 1, name
    while unique in taken:
        count += 1
        unique = f"{name}@{count}"
    return unique
