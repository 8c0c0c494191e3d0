"""A model as a graph by `torch.export`, in the form that symbolic tracing gives: parameters under their own names.

`torch.export` runs the model on tensors without values, so that it follows what depends on shapes, which symbolic
tracing cannot; the number of images stays open. It gives operators of ATen with parameters as inputs. Here parameters
become attributes again, outputs get back their structure, and what concerns the exporter alone is left out. Functions
of parameters become layers afterwards, as they do in every graph (`layers.py`).
"""

from __future__ import annotations

import copy
import operator
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.export import Dim, ExportedProgram
from torch.export.graph_signature import InputKind, InputSpec, OutputKind
from torch.utils._pytree import tree_unflatten

from actbench.network import nodes

_LEFT_OUT = frozenset(
    [
        "_assert",
        "_assert_async",
        "_assert_scalar",
        "_assert_tensor_metadata",
        "_guards_fn",
        "sym_constrain_range",
        "sym_constrain_range_for_size",
    ]
)
_WRAPPERS = {"wrap_with_set_grad_enabled": 1, "wrap_with_autocast": 4}
"""Regions of a graph in graphs of their own, and how many arguments stand before that graph."""

_TO_THE_END = (1 << 63) - 1
_PYTHON: dict[Any, Any] = {
    torch.ops.aten.add.Tensor: operator.add,
    torch.ops.aten.sub.Tensor: operator.sub,
    torch.ops.aten.mul.Tensor: operator.mul,
    torch.ops.aten.div.Tensor: operator.truediv,
}
_UPSAMPLINGS: dict[Any, str] = {
    torch.ops.aten.upsample_nearest1d.vec: "nearest",
    torch.ops.aten.upsample_nearest2d.vec: "nearest",
    torch.ops.aten.upsample_nearest3d.vec: "nearest",
    torch.ops.aten.upsample_linear1d.vec: "linear",
    torch.ops.aten.upsample_bilinear2d.vec: "bilinear",
    torch.ops.aten.upsample_trilinear3d.vec: "trilinear",
    torch.ops.aten.upsample_bicubic2d.vec: "bicubic",
}


def export(model: nn.Module, image: tuple[Tensor, ...], *, functional: bool = False) -> fx.GraphModule:
    """Traces a model in evaluation mode from an image, (1, C, H, W) for each of its inputs, for any number of images.
    `functional`: what is written into a tensor becomes a new one, also through views; that takes three times as long.
    Raises whatever torch.export raises."""
    images = tuple(each.expand(2, *each.shape[1:]).clone() for each in image)
    batch = tuple({0: Dim.DYNAMIC} for _ in images)
    with warnings.catch_warnings(), torch.enable_grad(), _plain_attention():
        warnings.simplefilter("ignore")
        program = torch.export.export(model, images, dynamic_shapes=batch, strict=False)
        if functional:
            program = program.run_decompositions({})
    return _Raising(model, program).module()


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Has attention computed step by step: torch's short cut for it has no gradient."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


class _Raising:
    """Builds the graph of an exported program anew."""

    def __init__(self, model: nn.Module, program: ExportedProgram) -> None:
        self._program = program
        self._root = copy.copy(model)
        self._root._modules, self._root._buffers = dict(model._modules), dict(model._buffers)
        self._graph = fx.Graph()

    def module(self) -> fx.GraphModule:
        """The model's module: it has of the model what the graph needs."""
        specs = {spec.arg.name: spec for spec in self._program.graph_signature.input_specs}
        values: dict[fx.Node, Any] = {}
        for node in self._program.graph.nodes:
            if node.op == "placeholder":
                values[node] = self._input(specs[node.name])
        outputs = self._inline(self._program.graph_module, values)
        kinds = [spec.kind for spec in self._program.graph_signature.output_specs]
        flat = [value for value, kind in zip(outputs, kinds, strict=True) if kind is OutputKind.USER_OUTPUT]
        out_spec = self._program.call_spec.out_spec
        assert out_spec is not None
        self._graph.output(_plain(tree_unflatten(flat, out_spec)))
        return fx.GraphModule(self._root, self._graph, type(self._root).__name__)

    def _input(self, spec: InputSpec) -> Any:
        if spec.kind is InputKind.USER_INPUT:
            return self._graph.placeholder(spec.arg.name)
        target = str(spec.target)
        if spec.kind is InputKind.CONSTANT_TENSOR and not _has(self._root, target):
            target = f"constant_{target.replace('.', '_')}"
            self._root.register_buffer(target, cast(Tensor, self._program.constants[str(spec.target)]))
        return self._graph.get_attr(target)

    def _inline(self, part: fx.GraphModule, values: dict[fx.Node, Any]) -> Any:
        """Adds the nodes of a part, whose inputs have values, and gives its outputs."""
        for node in part.graph.nodes:
            if node.op == "output":
                return fx.node.map_arg(node.args[0], values.__getitem__)
            if node.op == "get_attr":
                values[node] = nodes.attribute(part, str(node.target))
            elif node.op != "placeholder" and nodes.function_name(node) not in _LEFT_OUT:
                args: Any = fx.node.map_arg(node.args, values.__getitem__)
                kwargs: Any = fx.node.map_arg(node.kwargs, values.__getitem__)
                values[node] = self._value(node, args, kwargs)
        raise AssertionError("a graph without an output")

    def _value(self, node: fx.Node, args: Any, kwargs: Any) -> Any:
        name = nodes.function_name(node)
        if name in _WRAPPERS:
            region, *inputs = args[_WRAPPERS[name] :]
            places = [place for place in region.graph.nodes if place.op == "placeholder"]
            outputs = self._inline(region, dict(zip(places, inputs, strict=True)))
            return outputs if args[0] is not False else tuple(map(self._detached, outputs))
        if node.target is operator.getitem and not isinstance(args[0], fx.Node):
            return args[0][args[1]]
        if name == "slice" and _is_whole(*args[1:]):
            return args[0]
        if name == "slice_scatter" and _is_whole(*args[2:]):
            return args[1]
        return self._call(node, name, args, kwargs)

    def _detached(self, value: Any) -> Any:
        return self._graph.call_method("detach", (value,)) if isinstance(value, fx.Node) else value

    def _call(self, node: fx.Node, name: str, args: Any, kwargs: Any) -> Any:
        """Adds a call, in the form that it has in Python where others look at its arguments."""
        if node.target in _PYTHON and not kwargs:
            return self._added(node, _PYTHON[node.target], args)
        if node.target in _UPSAMPLINGS:
            x, size, *corners, scale = args
            named = {"size": size, "scale_factor": scale, "mode": _UPSAMPLINGS[node.target]}
            return self._added(node, F.interpolate, (x,), named | dict(zip(["align_corners"], corners, strict=False)))
        if name == "batch_norm":
            x, weight, bias, mean, variance, *rest, _ = args
            return self._added(node, F.batch_norm, (x, mean, variance, weight, bias, *rest))
        if name == "_native_batch_norm_legit_no_training":
            x, weight, bias, mean, variance, momentum, eps = args
            return (self._added(node, F.batch_norm, (x, mean, variance, weight, bias, False, momentum, eps)),)
        if name == "copy":  # ATen's own has no gradient
            expanded = self._added(node, Tensor.expand_as, (args[1], args[0]))
            return self._added(node, Tensor.type_as, (expanded, args[0]))
        if name == "slice":
            return self._added(node, operator.getitem, (args[0], _along(node, args[1], slice(*args[2:]))))
        if name == "select":
            return self._added(node, operator.getitem, (args[0], _along(node, args[1], args[2])))
        return self._added(node, node.target, args, kwargs)

    def _added(self, node: fx.Node, target: Any, args: Any, kwargs: Any = None) -> fx.Node:
        name = getattr(target, "__name__", node.name).partition(".")[0].strip("_")
        added = self._graph.create_node("call_function", target, tuple(args), kwargs or {}, name)
        if stack := node.meta.get("nn_module_stack"):
            added.meta["nn_module_stack"] = stack
            path, kind = next(reversed(stack.values()))
            if str(kind).startswith("torch.nn.modules."):
                added.meta["module"] = path
        return added


def _is_whole(dimension: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> bool:
    return start in (None, 0) and end in (None, _TO_THE_END) and step == 1


def _along(node: fx.Node, dimension: int, part: Any) -> tuple[Any, ...]:
    """The index that takes a part of a dimension, and all of those before it."""
    rank = node.all_input_nodes[0].meta["val"].dim()
    if isinstance(part, slice) and part.stop == _TO_THE_END:
        part = slice(part.start, None, part.step)
    return (*(slice(None),) * (dimension % rank), part)


def _has(module: nn.Module, target: str) -> bool:
    try:
        return isinstance(nodes.attribute(module, target), Tensor)
    except AttributeError:
        return False


def _plain(output: Any) -> Any:
    """Outputs in lists, tuples and dictionaries, whatever classes of them the model has."""
    if isinstance(output, Mapping):
        return {key: _plain(value) for key, value in output.items()}
    if isinstance(output, list | tuple):
        parts = [_plain(value) for value in output]
        return parts if isinstance(output, list) else tuple(parts)
    return output
