"""The schedule of a deployed network: which targets are computed together, in stripes of which rows, and in which
order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves

from actbench.network import nodes
from actbench.network.splice import Decode, Encode
from actbench.runtime.region import Placed, Program, Region
from actbench.runtime.shapes import TensorShape, Values, shapes_of
from actbench.runtime.steps import Upsampling, is_mean, row_step
from actbench.runtime.stripes import Stripe, Striping

_COMPUTED = ("call_module", "call_function", "call_method")


@dataclass(frozen=True)
class Whole:
    """A step that runs on whole tensors."""

    node: fx.Node

    @property
    def name(self) -> str:
        """What it computes."""
        return nodes.label(self.node)


@dataclass(frozen=True)
class Striped:
    """Targets that are computed together, a stripe at a time. `sinks`: what takes in the rows, and of which target: an
    encoder, a mean over all positions, or the target itself where all of it is wanted."""

    sinks: Mapping[fx.Node, fx.Node]
    region: Region
    programs: tuple[Program, ...]

    @property
    def name(self) -> str:
        """Its layers; where it has none, what takes in the rows."""
        layers = [node for node in self.region.order if _is_layer(node)]
        return ", ".join(dict.fromkeys(map(nodes.label, layers or self.sinks)))


Step = Whole | Striped


@dataclass(frozen=True)
class Schedule:
    """Steps in their order; for each of them what is not read any more behind it; and the graph's values that are no
    tensors."""

    steps: tuple[Step, ...]
    freed: tuple[tuple[fx.Node, ...], ...]
    values: Values

    @property
    def whole(self) -> tuple[str, ...]:
        """Names of the steps that need whole maps."""
        tall = (step.node for step in self.steps if isinstance(step, Whole) and step.node.op != "output")
        return tuple(nodes.label(node) for node in tall if any(map(self._is_map, node.all_input_nodes)))

    def _is_map(self, node: fx.Node) -> bool:
        shape = self.values[node]
        tokens = isinstance(nodes.module_of(node), Decode)
        return isinstance(shape, TensorShape) and (tokens or (len(shape) == 4 and shape[2] > 1))


def schedule(module: fx.GraphModule, shape: tuple[int, ...], stripe: Stripe) -> Schedule:
    """Plans the execution for an input of a shape (batch, C, H, W)."""
    values = shapes_of(module, shape)
    found = row_steps(module, values)
    groups = _grouped(module, values, found)
    striping = Striping(values, stripe)
    steps: list[Step] = []
    for group in groups:
        if isinstance(group, Whole):
            steps.append(group)
        else:
            region = Region.of(list(dict.fromkeys(group.values())), found)
            steps.append(Striped(group, region, striping.programs(region, group)))
    return Schedule(tuple(steps), _freed(steps), values)


def row_steps(module: fx.GraphModule, values: Values) -> dict[fx.Node, Placed]:
    """Finds the steps of a graph that work on rows."""
    found: dict[fx.Node, Placed] = {}
    for node in module.graph.nodes:
        shape = values.get(node)
        if node.op not in _COMPUTED or not isinstance(shape, TensorShape):
            continue
        if isinstance(nodes.module_of(node), Encode | Decode):
            continue
        inputs = [previous for previous in node.all_input_nodes if isinstance(values[previous], TensorShape)]
        step = row_step(node, [values[previous] for previous in inputs], shape)
        # Upsampling knows its size; no other step on rows is told what was computed of a shape.
        if step is not None and (len(inputs) == len(node.all_input_nodes) or isinstance(step, Upsampling)):
            found[node] = Placed(step, tuple(inputs))
    return found


_Group = dict[fx.Node, fx.Node]


def _grouped(module: fx.GraphModule, values: Values, found: Mapping[fx.Node, Placed]) -> list[_Group | Whole]:
    """Orders what is to be done. Targets that need the same layer are computed together, where everything that they are
    computed from is there by then."""
    groups: list[_Group | Whole] = []
    made: dict[fx.Node, int] = {}

    def add(sink: fx.Node, target: fx.Node) -> None:
        region = Region.of([target], found)
        layers = {node for node in region.order if _is_layer(node)}
        ready = max((made.get(_maker(source), -1) for source in region.sources), default=-1)
        for index, group in enumerate(groups):
            if index > ready and isinstance(group, dict) and layers & _layers(group, found):
                group[sink], made[sink] = target, index
                return
        groups.append({sink: target})
        made[sink] = len(groups) - 1

    for node in module.graph.nodes:
        stage = nodes.module_of(node)
        if isinstance(stage, Encode) or (is_mean(node) and len(values[node.all_input_nodes[0]]) == 4):
            add(node, node.all_input_nodes[0])
        elif _runs_whole(node, values, found, stage):
            for previous in node.all_input_nodes:
                if previous not in made and (previous in found or isinstance(nodes.module_of(previous), Decode)):
                    add(previous, previous)
            groups.append(Whole(node))
            made[node] = len(groups) - 1
    return groups


def _runs_whole(node: fx.Node, values: Values, found: Mapping[fx.Node, Placed], stage: nn.Module | None) -> bool:
    if node.op == "output":
        return True
    gives_tensors = node.op in _COMPUTED and _has_tensor(values[node])
    return gives_tensors and node not in found and not isinstance(stage, Decode)


def _has_tensor(value: object) -> bool:
    """Whether a node gives a tensor, or several: what only asks for a shape is known already."""
    return isinstance(value, TensorShape) or any(isinstance(leaf, Tensor) for leaf in tree_leaves(value))


def _layers(group: _Group, found: Mapping[fx.Node, Placed]) -> set[fx.Node]:
    return {node for node in Region.of(list(group.values()), found).order if _is_layer(node)}


def _is_layer(node: fx.Node) -> bool:
    return isinstance(nodes.module_of(node), nn.Conv2d | nn.ConvTranspose2d)


def _maker(source: fx.Node) -> fx.Node:
    """What has to run before a source can be read: the encoder of what is decoded."""
    return source.all_input_nodes[0] if isinstance(nodes.module_of(source), Decode) else source


def _freed(steps: list[Step]) -> tuple[tuple[fx.Node, ...], ...]:
    last: dict[fx.Node, int] = {}
    for index, step in enumerate(steps):
        read = step.node.all_input_nodes if isinstance(step, Whole) else step.region.sources
        made = [step.node] if isinstance(step, Whole) else list(step.sinks)
        last |= {_maker(node): index for node in read} | dict.fromkeys(made, index)
        last |= dict.fromkeys(read, index)
    return tuple(tuple(node for node, place in last.items() if place == index) for index in range(len(steps)))
