"""Meaning of the nodes of a traced graph, whether written as modules, functions or methods."""

from __future__ import annotations

import operator
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import fx, nn

from actbench.codec.modules import NONLINEARITIES, POOLINGS
from actbench.feature_map import Argument, Operation

_FORM = ("shape", "ndim", "dtype", "device")
_PASS_THROUGH_MODULES = (nn.Identity, nn.Dropout, nn.Dropout2d, nn.AlphaDropout)
_PASS_THROUGH = {"dropout", "dropout2d", "detach", "clone"}
_ADDITIONS = {operator.add, operator.iadd, torch.add}
_IN_PLACE_OPERATORS: dict[Any, Any] = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
}
_POOLING_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "max_pool2d": ("kernel_size", "stride", "padding", "dilation", "ceil_mode"),
    "avg_pool2d": ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override"),
}
_NONLINEARITY_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "leaky_relu": ("negative_slope",),
    "elu": ("alpha",),
    "gelu": ("approximate",),
}


def module_of(node: fx.Node) -> nn.Module | None:
    """Finds the module that a node calls, None where it calls a function."""
    if node.op != "call_module":
        return None
    owner = cast(nn.Module, node.graph.owning_module)
    return owner.get_submodule(cast(str, node.target))


def function_name(node: fx.Node) -> str:
    """Name of the function or method that a node calls."""
    return node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))


def label(node: fx.Node) -> str:
    """Names a node for a report: its module's path, or its function within the path of the calling module."""
    if node.op in ("call_module", "placeholder"):
        return str(node.target)
    stack = node.meta.get("nn_module_stack")
    path = next(reversed(stack.values()))[0] if stack else ""
    name = function_name(node).strip("_")
    return f"{path}.{name}" if path else name


def shape(node: fx.Node) -> tuple[int, ...]:
    """Shape of the tensor that a node gives, batch first; empty where it gives none."""
    meta = node.meta.get("tensor_meta")
    return tuple(meta.shape) if meta is not None and hasattr(meta, "shape") else ()


def is_convolution(node: fx.Node) -> bool:
    """Whether a node is a 2-D convolution."""
    if node.op == "call_module":
        return isinstance(module_of(node), nn.Conv2d | nn.ConvTranspose2d)
    return node.op == "call_function" and function_name(node) in ("conv2d", "conv_transpose2d")


def is_linear_on_map(node: fx.Node) -> bool:
    """Whether a node is a linear layer over the last dimension of a four-dimensional tensor."""
    return isinstance(module_of(node), nn.Linear) and len(shape(node)) == 4


def is_addition(node: fx.Node) -> bool:
    """Whether a node adds two maps of one size; see `mark_additions`."""
    return bool(node.meta.get("adds_maps"))


def mark_additions(graph: fx.Graph) -> None:
    """Marks the additions of two tensors of the same four-dimensional shape, while all shapes are known: adding a
    parameter, or anything that is broadcast, is not joining two branches."""
    for node in graph.nodes:
        function, method = node.op == "call_function", node.op == "call_method"
        adds = (function and node.target in _ADDITIONS) or (method and node.target == "add")
        if adds and not node.kwargs and len(node.args) == 2 and all(isinstance(arg, fx.Node) for arg in node.args):
            shapes = {shape(operand) for operand in node.args}
            node.meta["adds_maps"] = len(shapes) == 1 and len(shapes.pop()) == 4


def _is_pass_through(node: fx.Node) -> bool:
    """Whether a node in evaluation mode gives the values that it gets."""
    if node.op == "call_module":
        return isinstance(module_of(node), _PASS_THROUGH_MODULES)
    return node.op in ("call_function", "call_method") and function_name(node) in _PASS_THROUGH


def operation_of(node: fx.Node) -> Operation | None:
    """Describes the nonlinearity or pooling that a node is, None where it is neither."""
    module = module_of(node)
    if module is not None:
        kinds = NONLINEARITIES | POOLINGS
        name = next((name for name, kind in kinds.items() if type(module) is kind), None)
        return _operation(name, vars(module)) if name else None
    if node.op not in ("call_function", "call_method"):
        return None
    name = function_name(node).rstrip("_")
    if name not in NONLINEARITIES and name not in POOLINGS:
        return None
    parameters = _parameters(name)
    positional = dict(zip(parameters, node.args[1:], strict=False))
    return _operation(name, positional | dict(node.kwargs))


def is_channels_last(node: fx.Node) -> bool:
    """Whether a map's channels are its last dimension: a linear layer over them writes or reads it."""
    return any(is_linear_on_map(other) for other in (*node.all_input_nodes, *node.users))


def is_nonlinearity(node: fx.Node) -> bool:
    """Whether a node is a nonlinearity on a four-dimensional tensor."""
    operation = operation_of(node)
    return operation is not None and operation.name in NONLINEARITIES and len(shape(node)) == 4


def simplify(module: fx.GraphModule) -> None:
    """Replaces every in-place operation, as a codec may read the tensor that it would overwrite, and removes what in
    evaluation mode only hands a tensor on: identities, dropout."""
    order = {node: index for index, node in enumerate(module.graph.nodes)}
    for node in order:
        if _works_in_place(node):
            # Whoever reads the overwritten tensor afterwards reads the result.
            overwritten = node.all_input_nodes[0]
            overwritten.replace_all_uses_with(node, delete_user_cb=lambda user, node=node: order[user] > order[node])
            node.target = _out_of_place(node)
        if node.kwargs.get("inplace"):
            node.kwargs = {**node.kwargs, "inplace": False}
    for part in module.modules():
        if hasattr(part, "inplace"):
            vars(part)["inplace"] = False
    for node in order:
        if _is_pass_through(node):
            node.replace_all_uses_with(node.all_input_nodes[0])
            module.graph.erase_node(node)
    module.delete_all_unused_submodules()
    module.recompile()


def asks_for_form(node: fx.Node) -> bool:
    """Whether a node asks for a tensor's shape or type and not for its values."""
    named = node.op in ("call_function", "call_method") and function_name(node) in ("size", "dim")
    return named or (node.op == "call_function" and node.target is getattr and node.args[1] in _FORM)


def _works_in_place(node: fx.Node) -> bool:
    if node.op == "call_module":
        return bool(getattr(module_of(node), "inplace", False))
    return bool(node.kwargs.get("inplace")) or _out_of_place(node) != node.target


def _out_of_place(node: fx.Node) -> Any:
    """Finds what to call for `x.relu_()`, `torch.tanh_`, `+=`: torch marks what writes in place with an underscore."""
    name = function_name(node) if node.op in ("call_function", "call_method") else ""
    if node.target in _IN_PLACE_OPERATORS:
        return _IN_PLACE_OPERATORS[node.target]
    if not name.endswith("_") or name.endswith("__"):
        return node.target
    if node.op == "call_method":
        return name[:-1]
    return getattr(F, name[:-1], None) or getattr(torch, name[:-1], node.target)


def _parameters(name: str) -> tuple[str, ...]:
    return (_POOLING_ARGUMENTS | _NONLINEARITY_ARGUMENTS).get(name, ())


def _operation(name: str, values: dict[str, Any]) -> Operation | None:
    if values.get("return_indices"):
        return None
    arguments = tuple((key, _plain(values[key])) for key in _parameters(name) if values.get(key) is not None)
    return Operation(name, arguments)


def _plain(value: Any) -> Argument:
    return tuple(value) if isinstance(value, list | tuple) else cast(Argument, value)
