"""Quantisation of weights: uniform, symmetric, one scale an output channel, after folding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torch.nn.utils import parametrize

from actbench.feature_map import FLOAT_BITS
from actbench.network import nodes
from actbench.network.splice import Decode, Encode

LEAST_AT_THE_ENDS = 8
"""First and last layers keep at least so many bits (protocol)."""

_CANDIDATES = 20
_BLOCK = 1 << 17
"""Values that are rounded together: as many as stay in caches."""
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, *_TRANSPOSED, nn.Linear)
_TRANSPOSED_FUNCTIONS = ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
_FUNCTIONS = ("conv1d", "conv2d", "conv3d", *_TRANSPOSED_FUNCTIONS, "linear")


@dataclass(frozen=True)
class Weight:
    """Weights of a layer, output channels first; `groups` is that of a transposed convolution, (in, out/groups, …),
    and None of any other layer. `in_codec`: whether the layer is part of a codec."""

    tensor: nn.Parameter
    groups: int | None = None
    in_codec: bool = False

    @property
    def channels(self) -> int:
        """Number of output channels."""
        return self.tensor.shape[0] if self.groups is None else self.tensor.shape[1] * self.groups

    def quantised(self, width: int) -> Tensor:
        """The weights rounded to `width` bits, a step for each output channel."""
        weight = self.tensor.detach()
        if self.groups is None:
            return quantized(weight, width)
        grouped = weight.unflatten(0, (self.groups, -1)).transpose(1, 2)
        rounded: Tensor = quantized(grouped.flatten(0, 1), width).unflatten(0, (self.groups, -1))
        return rounded.transpose(1, 2).flatten(0, 1)


def weights(module: nn.Module) -> dict[str, Weight]:
    """Finds the weights of convolutions and linear layers, modules and functions of a parameter alike, by the layer's
    or the parameter's name, each once, in the order in which they are called."""
    found: dict[int, tuple[str, Weight]] = {}
    for name, weight in _calls(module) if isinstance(module, fx.GraphModule) else _layers("", module):
        found.setdefault(id(weight.tensor), (name, weight))
    return dict(found.values())


def weight_widths(module: nn.Module, width: int) -> dict[str, int]:
    """Chooses the width of every layer's weights, in bits: `width`, and 8 or more for the network's first and last
    layer."""
    found = weights(module)
    own = [name for name, weight in found.items() if not weight.in_codec]
    ends = {*own[:1], *own[-1:]}
    return {name: max(width, LEAST_AT_THE_ENDS) if name in ends else width for name in found}


def quantize_weights(module: nn.Module, width: int) -> None:
    """Rounds all weights in place to `width`-bit codes; 32 leaves them alone. Biases stay in fp32."""
    found = weights(module)
    for name, bits in weight_widths(module, width).items():
        if bits != FLOAT_BITS:
            found[name].tensor.data.copy_(found[name].quantised(bits))


def fold_parametrisations(module: nn.Module) -> None:
    """Replaces parameters that are computed from others, as by weight normalisation, by what is computed."""
    for part in list(module.modules()):
        if parametrize.is_parametrized(part):
            computed = {name: getattr(part, name).detach() for name in cast(nn.ModuleDict, part.parametrizations)}
            del part.parametrizations
            # torch's own way takes the parametrisation from the class, which copies of the module share.
            part.__class__ = type(part).__bases__[0]
            for name, value in computed.items():
                part.register_parameter(name, nn.Parameter(value))


def quantized(weight: Tensor, width: int) -> Tensor:
    """Rounds weights (out, ...) to multiples of each output channel's step, with codes −(2^(w−1)−1) … 2^(w−1)−1.

    The step is the one of least squared error among fractions of the largest magnitude.
    """
    rows = weight.flatten(1).float()
    parts = [_nearest(part, width) for part in rows.split(max(1, _BLOCK // rows.shape[1]))]
    return torch.cat(parts).reshape(weight.shape).to(weight.dtype)


def _nearest(rows: Tensor, width: int) -> Tensor:
    """Rounds each row of weights (rows, values)."""
    largest = rows.abs().amax(1, keepdim=True).clamp_min(1e-12)
    best, least = rows, torch.full_like(largest, torch.inf)
    for fraction in torch.linspace(1.0, 0.3, _CANDIDATES).tolist():
        rounded = _rounded(rows, largest * fraction, width)
        error = (rounded - rows).square().sum(1, keepdim=True)
        best, least = torch.where(error < least, rounded, best), torch.minimum(error, least)
    return best


def _rounded(rows: Tensor, largest: Tensor, width: int) -> Tensor:
    top = (1 << (width - 1)) - 1
    step = largest / top
    return (rows / step).round().clamp(-top, top) * step


def _calls(module: fx.GraphModule) -> Iterator[tuple[str, Weight]]:
    for node in module.graph.nodes:
        if node.op == "call_module":
            yield from _layers(str(node.target), cast(nn.Module, nodes.module_of(node)))
        elif node.op == "call_function" and nodes.function_name(node) in _FUNCTIONS:
            yield from _of_function(module, node)
        elif node.op == "call_function" and _is_own(node):
            yield from _of_own_function(module, node)


def _layers(path: str, module: nn.Module) -> Iterator[tuple[str, Weight]]:
    in_codec = isinstance(module, Encode | Decode)
    for name, layer in module.named_modules(prefix=path):
        if isinstance(layer, _LAYERS) and isinstance(layer.weight, nn.Parameter):
            yield name, Weight(layer.weight, layer.groups if isinstance(layer, _TRANSPOSED) else None, in_codec)


def _is_own(node: fx.Node) -> bool:
    """Whether a node calls a function of the model's own, into which tracing has not seen."""
    home = getattr(node.target, "__module__", None) or "torch"
    return str(home).partition(".")[0] not in ("torch", "_operator", "builtins", "math")


def _of_own_function(module: fx.GraphModule, node: fx.Node) -> Iterator[tuple[str, Weight]]:
    """Matrices that are called weights: of linear layers, output channels first, as a window's attention reads them."""
    for read in node.all_input_nodes:
        if read.op == "get_attr" and str(read.target).endswith(".weight"):
            tensor = nodes.attribute(module, str(read.target))
            if isinstance(tensor, nn.Parameter) and tensor.dim() == 2:
                yield str(read.target), Weight(tensor)


def _of_function(module: fx.GraphModule, node: fx.Node) -> Iterator[tuple[str, Weight]]:
    source: Any = node.args[1] if len(node.args) > 1 else node.kwargs.get("weight")
    if not isinstance(source, fx.Node) or source.op != "get_attr":
        return
    tensor = nodes.attribute(module, str(source.target))
    if isinstance(tensor, nn.Parameter):
        transposed = nodes.function_name(node) in _TRANSPOSED_FUNCTIONS
        groups = node.args[6] if len(node.args) > 6 else node.kwargs.get("groups", 1)
        yield str(source.target), Weight(tensor, cast(int, groups) if transposed else None)
