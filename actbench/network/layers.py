"""Layers that a graph calls as functions of parameters: a convolution in a subclass's own `forward`, for example.

As layers they are what everything behind the trace knows: readers of maps, what folds, what is quantised, what works on
rows. A layer takes the place of the module that its parameters come from, so that they keep their names, where that
module is called no more; otherwise it stands beside it and shares them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, fx, nn

from actbench.network import nodes

_CONVOLUTION = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_TRANSPOSED = ("input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation")
_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "linear": ("input", "weight", "bias"),
    "layer_norm": ("input", "normalized_shape", "weight", "bias", "eps"),
    "group_norm": ("input", "num_groups", "weight", "bias", "eps"),
    "batch_norm": ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps"),
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _CONVOLUTION),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), _TRANSPOSED),
}
_CONVOLUTIONS: dict[str, Any] = {
    "conv1d": nn.Conv1d,
    "conv2d": nn.Conv2d,
    "conv3d": nn.Conv3d,
    "conv_transpose1d": nn.ConvTranspose1d,
    "conv_transpose2d": nn.ConvTranspose2d,
    "conv_transpose3d": nn.ConvTranspose3d,
}
_NORMALISATIONS: dict[int, Any] = {4: nn.BatchNorm2d, 5: nn.BatchNorm3d}


def raise_layers(module: fx.GraphModule) -> None:
    """Has every convolution, linear layer and normalisation that is called as a function of parameters called as a
    layer, in place. The graph's shapes have to be known. A function of what is computed stays as it is."""
    for node in module.graph.nodes:
        call = _Call.of(module, node)
        layer = call.layer() if call else None
        if call and layer is not None:
            node.target = _placed(module, node, layer, call.paths)
            node.op, node.args, node.kwargs = "call_module", (call.input,), {}
    module.graph.eliminate_dead_code()
    module.recompile()


def arguments(node: fx.Node) -> dict[str, Any]:
    """What a call of a layer's function is given, by name, in whatever order; nothing of any other node."""
    name = nodes.function_name(node) if node.op == "call_function" else ""
    return dict(zip(_ARGUMENTS[name], node.args, strict=False)) | dict(node.kwargs) if name in _ARGUMENTS else {}


@dataclass(frozen=True)
class _Call:
    """A call of a function: the node of its input, its parameters and their paths in the module, and what else it is
    given, by the arguments' names."""

    name: str
    input: fx.Node
    tensors: Mapping[str, Tensor]
    paths: Mapping[str, str]
    given: Mapping[str, Any]

    @classmethod
    def of(cls, module: fx.GraphModule, node: fx.Node) -> _Call | None:
        """The call that a node is, None where it is of another function, or of a parameter that is computed."""
        given = arguments(node)
        x = given.pop("input", None)
        if not isinstance(x, fx.Node):
            return None
        read = {key: value for key, value in given.items() if isinstance(value, fx.Node)}
        if any(value.op != "get_attr" for value in read.values()) or {x, *read.values()} != set(node.all_input_nodes):
            return None
        paths = {key: str(value.target) for key, value in read.items()}
        tensors = {key: nodes.attribute(module, path) for key, path in paths.items()}
        plain = {key: value for key, value in given.items() if key not in read and value is not None}
        return cls(nodes.function_name(node), x, tensors, paths, plain)

    def layer(self) -> nn.Module | None:
        """The layer that computes the same, with the parameters themselves; None where there is none."""
        try:
            with torch.device("meta"):
                layer = self._built()
        except (KeyError, TypeError):  # something is computed that a layer has as a number
            return None
        if layer is None or set(self.tensors) != _tensors_of(layer):
            return None
        for key, tensor in self.tensors.items():
            if key in layer._buffers:
                layer.register_buffer(key, tensor)
            else:
                own = tensor if isinstance(tensor, nn.Parameter) else nn.Parameter(tensor, requires_grad=False)
                layer.register_parameter(key, own)
        if "num_batches_tracked" in layer._buffers:
            layer.register_buffer("num_batches_tracked", torch.zeros((), dtype=torch.long))
        return layer.eval()

    def _built(self) -> nn.Module | None:
        if self.name.endswith("norm"):
            return self._normalisation()
        weight, bias = self.tensors["weight"], "bias" in self.tensors
        if self.name == "linear":
            return nn.Linear(weight.shape[1], weight.shape[0], bias=bias)
        given = {key: tuple(value) if isinstance(value, list) else value for key, value in self.given.items()}
        groups = given.get("groups", 1)
        channels = [weight.shape[1] * groups, weight.shape[0]]
        if "transpose" in self.name:
            channels = [weight.shape[0], weight.shape[1] * groups]
        return cast(nn.Module, _CONVOLUTIONS[self.name](*channels, tuple(weight.shape[2:]), bias=bias, **given))

    def _normalisation(self) -> nn.Module | None:
        affine, eps = "weight" in self.tensors, self.given.get("eps", 1e-5)
        if self.name == "layer_norm":
            return nn.LayerNorm(tuple(self.given["normalized_shape"]), eps, affine, "bias" in self.tensors)
        if self.name == "group_norm":
            channels = nodes.shape(self.input)[1]
            return nn.GroupNorm(self.given["num_groups"], channels, eps, affine)
        if self.given.get("training"):
            return None
        kind = _NORMALISATIONS.get(len(nodes.shape(self.input)), nn.BatchNorm1d)
        return cast(nn.Module, kind(len(self.tensors["running_mean"]), eps, affine=affine))


def _tensors_of(layer: nn.Module) -> set[str]:
    """The names of what a layer computes with."""
    buffers = {key for key in layer._buffers if key != "num_batches_tracked"}
    return {key for key, value in layer._parameters.items() if value is not None} | buffers


def _placed(module: fx.GraphModule, node: fx.Node, layer: nn.Module, paths: Mapping[str, str]) -> str:
    """Gives a layer a place in the module, and says which."""
    owners = {path.rpartition(".")[0] for path in paths.values()}
    owner, named = min(owners, default=""), all(path.rpartition(".")[2] == key for key, path in paths.items())
    called = {other.target for other in node.graph.nodes if other.op == "call_module"}
    if len(owners) == 1 and named and owner:
        old = module.get_submodule(owner)
        if type(old) is type(layer) and old.extra_repr() == layer.extra_repr() and not old._forward_pre_hooks:
            return owner
        if owner not in called:
            _inherit(layer, old)
            module.add_submodule(owner, layer)
            return owner
    target = _free(module, f"{owner}.{node.name}" if owner else node.name)
    module.add_submodule(target, layer)
    return target


def _inherit(layer: nn.Module, old: nn.Module) -> None:
    """Hands on to a layer what else the module has that it replaces: others may read it."""
    layer._modules |= {key: part for key, part in old._modules.items() if key not in layer._modules}
    layer._parameters |= {key: part for key, part in old._parameters.items() if key not in layer._parameters}
    layer._buffers |= {key: part for key, part in old._buffers.items() if key not in layer._buffers}


def _free(module: nn.Module, path: str) -> str:
    """A path that nothing has."""
    try:
        nodes.attribute(module, path)
    except AttributeError:
        return path
    return _free(module, f"{path}_")
