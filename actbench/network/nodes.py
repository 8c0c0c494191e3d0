"""Meaning of the nodes of a traced graph, whether written as modules, functions or methods."""

from __future__ import annotations

import operator
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch._ops import OpOverload
from torch.utils._pytree import tree_leaves

from actbench.codec.modules import NONLINEARITIES, POOLINGS
from actbench.feature_map import Argument, Layout, Operation

_FORM = ("shape", "ndim", "dtype", "device")
_PASS_THROUGH_MODULES = (nn.Identity, nn.Dropout, nn.Dropout2d, nn.AlphaDropout)
_PASS_THROUGH = {"dropout", "dropout2d", "feature_dropout", "stochastic_depth", "alias", "lift_fresh_copy"}
_LAYERS = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
    *(nn.Linear, nn.Bilinear),
)
_LAYER_FUNCTIONS = frozenset(
    ["conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "linear", "bilinear"]
)
_PRODUCTS = frozenset(
    ["matmul", "mm", "bmm", "addmm", "baddbmm", "einsum", "embedding", "scaled_dot_product_attention"]
)
_ATTENTION = frozenset(["scaled_dot_product_attention", "matmul", "bmm", "einsum"])
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
    "hardtanh": ("min_val", "max_val"),
    "softplus": ("beta", "threshold"),
    "prelu": ("weight",),
}


def module_of(node: fx.Node) -> nn.Module | None:
    """Finds the module that a node calls, None where it calls a function."""
    if node.op != "call_module":
        return None
    owner = cast(nn.Module, node.graph.owning_module)
    return owner.get_submodule(cast(str, node.target))


def attribute(module: nn.Module, target: str) -> Any:
    """Finds what a module has under a path: a parameter, a buffer, a module."""
    value: Any = module
    for name in target.split("."):
        value = getattr(value, name)
    return value


def function_name(node: fx.Node) -> str:
    """Name of the function or method that a node calls; of an operator of ATen the one without its overload."""
    if isinstance(node.target, OpOverload):
        return str(node.target.overloadpacket.__name__)
    return node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))


def path_of(node: fx.Node) -> str:
    """Path of the module that a node calls, or whose call it is; empty where a function is called elsewhere."""
    return str(node.target) if node.op == "call_module" else str(node.meta.get("module", ""))


def label(node: fx.Node) -> str:
    """Names a node for a report: its module's path, or its function within the path of the calling module."""
    if node.op == "placeholder":
        return str(node.target)
    if path := path_of(node):
        return path
    stack = node.meta.get("nn_module_stack")
    path = next(reversed(stack.values()))[0] if stack else ""
    name = function_name(node).strip("_")
    return f"{path}.{name}" if path else name


def readers(node: fx.Node) -> list[fx.Node]:
    """The nodes that read a node's values, in the order of the graph."""
    return [user for user in node.graph.nodes if user in node.users and not asks_for_form(user)]


def shape(node: fx.Node) -> tuple[int, ...]:
    """Shape of the tensor that a node gives, batch first; empty where it gives none."""
    meta = node.meta.get("tensor_meta")
    return tuple(meta.shape) if meta is not None and hasattr(meta, "shape") else ()


def shapes(node: fx.Node) -> list[tuple[int, ...]]:
    """Shapes of all tensors that a node gives: several where it splits one."""
    meta = node.meta.get("tensor_meta")
    metas = tree_leaves(meta, is_leaf=lambda part: hasattr(part, "shape"))
    return [tuple(part.shape) for part in metas if hasattr(part, "shape")]


def is_floating(node: fx.Node) -> bool:
    """Whether a node gives one tensor, of floating-point values."""
    dtype = getattr(node.meta.get("tensor_meta"), "dtype", None)
    return dtype is not None and dtype.is_floating_point


def is_convolution(node: fx.Node) -> bool:
    """Whether a node is a 2-D convolution."""
    if node.op == "call_module":
        return isinstance(module_of(node), nn.Conv2d | nn.ConvTranspose2d)
    return node.op == "call_function" and function_name(node) in ("conv2d", "conv_transpose2d")


def is_linear_on_map(node: fx.Node) -> bool:
    """Whether a node is a linear layer over the last dimension of a four-dimensional tensor, or of tokens."""
    return isinstance(module_of(node), nn.Linear) and len(shape(node)) in (3, 4)


def is_attention(node: fx.Node) -> bool:
    """Whether a node is a product of computed matrices, or scaled dot-product attention."""
    named = node.op in ("call_function", "call_method") and function_name(node).strip("_") in _ATTENTION
    return named and sum(read.op != "get_attr" for read in node.all_input_nodes) > 1


def layout(node: fx.Node) -> Layout | None:
    """How a node's tensor holds a map, None where it holds none; `layouts.mark_layouts` finds it."""
    return cast("Layout | None", node.meta.get("layout"))


def has_weights(node: fx.Node) -> bool:
    """Whether a node is a layer with weights: a convolution of any dimension, or a linear layer."""
    if node.op == "call_module":
        return isinstance(module_of(node), _LAYERS)
    return node.op == "call_function" and function_name(node) in _LAYER_FUNCTIONS


def multiplies(node: fx.Node) -> bool:
    """Whether a node is a product of matrices, or looks rows up in one."""
    if node.op == "call_module":
        return isinstance(module_of(node), nn.Embedding)
    return node.op in ("call_function", "call_method") and function_name(node) in _PRODUCTS


def parameters_of(node: fx.Node) -> list[nn.Parameter]:
    """The parameters of the module that a node calls, or that are handed to the function that it calls."""
    if node.op == "call_module":
        return list(cast(nn.Module, module_of(node)).parameters())
    given = map(_attribute, node.all_input_nodes if node.op == "call_function" else ())
    return [value for value in given if isinstance(value, nn.Parameter)]


def reads_a_map(node: fx.Node) -> bool:
    """Whether a node is a layer with weights on maps: a convolution, or a linear layer over channels."""
    return is_convolution(node) or is_linear_on_map(node)


def is_addition(node: fx.Node) -> bool:
    """Whether a node adds two maps of one size; see `mark_additions`."""
    return bool(node.meta.get("adds_maps"))


def mark_additions(graph: fx.Graph) -> None:
    """Marks the additions of two tensors of the same four-dimensional shape, while all shapes are known: adding a
    parameter, or anything that is broadcast, is not joining two branches."""
    for node in graph.nodes:
        adds = node.op in ("call_function", "call_method") and function_name(node) in ("add", "iadd")
        if adds and not node.kwargs and len(node.args) == 2 and all(isinstance(arg, fx.Node) for arg in node.args):
            shapes = {shape(operand) for operand in node.args}
            node.meta["adds_maps"] = len(shapes) == 1 and len(shapes.pop()) == 4


def _is_pass_through(node: fx.Node) -> bool:
    """Whether a node in evaluation mode gives the values that it gets."""
    if node.op == "call_module":
        return isinstance(module_of(node), _PASS_THROUGH_MODULES)
    if node.op not in ("call_function", "call_method"):
        return False
    # A copy in another order of memory is what lets a view be taken of it.
    copies = function_name(node) == "clone" and len(node.args) == 1 and not node.kwargs
    return copies or function_name(node) in _PASS_THROUGH


def operation_of(node: fx.Node) -> Operation | None:
    """Describes the nonlinearity or pooling that a node is, None where it is neither."""
    module = module_of(node)
    if module is not None:
        kinds = NONLINEARITIES | POOLINGS
        name = next((name for name, kind in kinds.items() if type(module) is kind), None)
        return _operation(name, vars(module) | vars(module)["_parameters"]) if name else None
    if node.op not in ("call_function", "call_method"):
        return None
    name = function_name(node).rstrip("_")
    if name not in NONLINEARITIES and name not in POOLINGS:
        return None
    parameters = _parameters(name)
    positional = dict(zip(parameters, node.args[1:], strict=False))
    given = {key: _attribute(value) for key, value in (positional | dict(node.kwargs)).items()}
    return _operation(name, given)


def channels_last(graph: fx.Graph) -> set[fx.Node]:
    """Finds the four-dimensional tensors whose channels are the last dimension: what linear layers over channels read
    and write, and whatever is computed from it until it is permuted back."""
    last: set[fx.Node] = set()
    for node in graph.nodes:
        if len(shape(node)) == 4 and _is_channels_last(node, last):
            last.add(node)
    return last


def _is_channels_last(node: fx.Node, last: set[fx.Node]) -> bool:
    order = _order(node)
    if is_convolution(node) or any(map(is_convolution, node.users)) or order == (0, 3, 1, 2):
        return False
    return order == (0, 2, 3, 1) or any(map(is_linear_on_map, node.users)) or any(map(last.__contains__, read_by(node)))


def _order(node: fx.Node) -> tuple[Any, ...] | None:
    """The order into which a node permutes dimensions, None where it permutes none."""
    if node.op not in ("call_function", "call_method") or function_name(node) != "permute":
        return None
    given = node.kwargs.get("dims", node.args[1:])
    return tuple(given[0]) if len(given) == 1 else tuple(given)  # type: ignore[arg-type, index]


def is_nonlinearity(node: fx.Node) -> bool:
    """Whether a node is a nonlinearity on a four-dimensional tensor, or on tokens."""
    operation = operation_of(node)
    return operation is not None and operation.name in NONLINEARITIES and (len(shape(node)) == 4 or bool(layout(node)))


def leave_out_defaults(module: fx.GraphModule, given: int) -> None:
    """Takes the place of each input behind the `given` first ones by what it is where nobody gives it."""
    inputs = [node for node in module.graph.nodes if node.op == "placeholder"]
    for node in (node for node in inputs[given:] if node.args):
        for user in list(node.users):
            user.args, user.kwargs = (
                fx.node.map_arg(part, lambda read, node=node: node.args[0] if read is node else read)  # type: ignore[misc]
                for part in (user.args, user.kwargs)
            )
        module.graph.erase_node(node)


def simplify(module: fx.GraphModule) -> None:
    """Replaces every in-place operation, as a codec may read the tensor that it would overwrite, and removes what in
    evaluation mode only hands a tensor on, identities and dropout, what checks shapes, and what nothing reads."""
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
    for node in reversed(order):
        if _is_pass_through(node):
            node.replace_all_uses_with(node.all_input_nodes[0])
            module.graph.erase_node(node)
        elif node.op == "call_function" and function_name(node) == "_assert":
            module.graph.erase_node(node)
    module.graph.eliminate_dead_code()
    module.delete_all_unused_submodules()
    module.recompile()


def asks_for_form(node: fx.Node) -> bool:
    """Whether a node asks for a tensor's shape or type and not for its values."""
    named = node.op in ("call_function", "call_method") and function_name(node) in ("size", "sym_size", "dim")
    return named or (node.op == "call_function" and node.target is getattr and node.args[1] in _FORM)


def read_by(node: fx.Node) -> list[fx.Node]:
    """The nodes whose values a node reads: none where it asks for a shape alone."""
    return [] if asks_for_form(node) else node.all_input_nodes


def _works_in_place(node: fx.Node) -> bool:
    if node.op == "call_module":
        return bool(getattr(module_of(node), "inplace", False))
    return bool(node.kwargs.get("inplace")) or _out_of_place(node) != node.target


def _out_of_place(node: fx.Node) -> Any:
    """Finds what to call for `x.relu_()`, `torch.tanh_`, `+=`: torch marks what writes in place with an underscore."""
    name = function_name(node) if node.op in ("call_function", "call_method") else ""
    if node.target in _IN_PLACE_OPERATORS:
        return _IN_PLACE_OPERATORS[node.target]
    if isinstance(node.target, OpOverload):
        packet = getattr(torch.ops.aten, name.rstrip("_"), None) if name.endswith("_") else None
        return getattr(packet, node.target._overloadname, node.target)
    if not name.endswith("_") or name.endswith("__"):
        return node.target
    if node.op == "call_method":
        return name[:-1]
    return getattr(F, name[:-1], None) or getattr(torch, name[:-1], node.target)


def _parameters(name: str) -> tuple[str, ...]:
    return (_POOLING_ARGUMENTS | _NONLINEARITY_ARGUMENTS).get(name, ())


def _operation(name: str, values: dict[str, Any]) -> Operation | None:
    if values.get("return_indices") or any(isinstance(value, fx.Node) for value in values.values()):
        return None
    arguments = tuple((key, _plain(values[key])) for key in _parameters(name) if values.get(key) is not None)
    return Operation(name, arguments)


def _attribute(value: Any) -> Any:
    """The tensor that a node reads from the module; any other argument as it is."""
    if isinstance(value, fx.Node) and value.op == "get_attr":
        return attribute(cast(nn.Module, value.graph.owning_module), cast(str, value.target))
    return value


def _slopes(weight: Tensor) -> Tensor:
    """A tensor without values has those that PReLU begins with."""
    return torch.full(weight.shape, 0.25, device="cpu") if weight.is_meta else weight.detach().flatten()


def _plain(value: Any) -> Argument:
    if isinstance(value, Tensor):
        return tuple(_slopes(value).tolist())
    return tuple(value) if isinstance(value, list | tuple) else cast(Argument, value)
