"""Folding: linear 1×1 layers become part of the convolutions around them, exactly.

Three identities, applied until none fits (W a dense convolution, P and E 1×1, all linear in the channels):

    P ∘ (W x + b)    =  (P W) x + (P b + p)        a projection behind a convolution
    P (a + b) + p    =  (P a + p) + P b            a projection behind an addition goes to its two branches
    W ∘ (E h)        =  (W E) h                    an expansion before a convolution; E without bias, or W without
                                                   zero padding, or the borders would be wrong

so that a skip between two compressed maps becomes the k×k product of a projection and an expansion. What has no
convolution to fold into, a depthwise one for example, stays an explicit 1×1 convolution, and is counted.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TypeVar, cast

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from actbench.network import nodes
from actbench.network.splice import Decode, Encode, Spliced, insert_steps, tidy

Identity = Callable[[fx.GraphModule, fx.Node], bool]
Layer = TypeVar("Layer", bound=nn.Conv2d)


class Pointwise(nn.Conv2d):
    """A 1×1 convolution that came from a codec, of the map `map_name`: what the identities look for."""

    map_name = ""

    @classmethod
    def of(cls, weight: Tensor, bias: Tensor | None, map_name: str) -> Pointwise:
        """Makes the convolution with weight (out, in) and bias (out,)."""
        layer = cls(
            weight.shape[1], weight.shape[0], 1, bias=bias is not None, device=weight.device, dtype=weight.dtype
        )
        layer.map_name = map_name
        return _filled(layer, weight[:, :, None, None], bias)

    @property
    def matrix(self) -> Tensor:
        """Weight as a matrix (out, in)."""
        return self.weight.detach()[:, :, 0, 0]


def fold_batch_norm(module: fx.GraphModule) -> None:
    """Merges every batch normalisation in evaluation mode into the convolution that it alone reads."""
    for node in list(module.graph.nodes):
        norm = nodes.module_of(node)
        previous = _previous(node)
        if not isinstance(norm, nn.BatchNorm2d) or previous is None or nodes.readers(previous) != [node]:
            continue
        layer = nodes.module_of(previous)
        # torch folds into output channels as if a transposed convolution had no groups.
        folds = type(layer) is nn.Conv2d or (type(layer) is nn.ConvTranspose2d and layer.groups == 1)
        if folds and _called_once(module, previous) and norm.track_running_stats:
            transposed = isinstance(layer, nn.ConvTranspose2d)
            fused = fuse_conv_bn_eval(cast(nn.Conv2d, layer).eval(), norm.eval(), transposed)
            _replace(module, previous, fused)
            node.replace_all_uses_with(previous)
    tidy(module)


def fold(spliced: Spliced) -> None:
    """Takes apart every codec that can fold, and folds its ends, in place, as far as they go."""
    for name, encoder in spliced.encoders().items():
        if encoder.layout.channels_first:
            _take_apart(spliced, name, encoder)
    graph = spliced.module.graph
    while any(identity(spliced.module, node) for node in graph.nodes for identity in _IDENTITIES):
        _erase_unread(graph)
    tidy(spliced.module)


def _take_apart(spliced: Spliced, name: str, encoder: Encode) -> None:
    folded = encoder.codec.fold()
    if folded is None:
        return
    module = spliced.module
    encode = next(node for node in module.graph.nodes if node.name == spliced.encode[name])
    decode = next(user for user in encode.users if isinstance(nodes.module_of(user), Decode))
    decoder = cast(Decode, nodes.module_of(decode))
    side, encoder.codec, decoder.codec = encoder.codec.side, folded.core, folded.core
    decoder.shape = None
    if folded.project is not None:
        with module.graph.inserting_before(encode):
            encode.args = (_call(module, f"{encode.name}_project", _pointwise(folded.project, name), encode.args[0]),)
    if encoder.codec.side == "after" and side == "around":
        steps = copy.deepcopy(decoder.between)
        encode.args = (insert_steps(module, encode.all_input_nodes[0], f"folded.{encode.name}_between", steps),)
    if folded.expand is not None:
        with module.graph.inserting_after(decode):
            expanded = _call(module, f"{decode.name}_expand", _pointwise(folded.expand, name), decode)
        decode.replace_all_uses_with(expanded, delete_user_cb=lambda user: user is not expanded)


def _project_convolution(module: fx.GraphModule, node: fx.Node) -> bool:
    """Folds a projection behind a convolution: P ∘ W."""
    project, before = nodes.module_of(node), _previous(node)
    if not isinstance(project, Pointwise) or before is None or len(before.users) != 1:
        return False
    convolution = nodes.module_of(before)
    if not isinstance(convolution, nn.Conv2d) or convolution.groups != 1:
        return False
    _replace(module, before, _projected(convolution, project))
    node.replace_all_uses_with(before)
    return True


def _project_addition(module: fx.GraphModule, node: fx.Node) -> bool:
    """Moves a projection behind an addition, P ∘ (a + b), to the two branches, where one of them can take it in."""
    project, before = nodes.module_of(node), _previous(node)
    if not isinstance(project, Pointwise) or before is None or len(before.users) != 1 or not nodes.is_addition(before):
        return False
    branches = cast("tuple[fx.Node, fx.Node]", before.args)
    if not any(_absorbs_projection(branch) for branch in branches):
        return False
    bias = None if project.bias is None else project.bias.detach()
    parts = (Pointwise.of(project.matrix, each, project.map_name) for each in (bias, None))
    with module.graph.inserting_before(before):
        before.args = tuple(
            _call(module, f"{node.name}_{index}", part, branch)
            for index, (part, branch) in enumerate(zip(parts, branches, strict=True))
        )
    node.replace_all_uses_with(before)
    return True


def _expand_convolution(module: fx.GraphModule, node: fx.Node) -> bool:
    """Folds an expansion before a convolution: W ∘ E."""
    before = _previous(node)
    expand = nodes.module_of(before) if before is not None else None
    convolution = nodes.module_of(node)
    if not isinstance(expand, Pointwise) or not isinstance(convolution, nn.Conv2d) or convolution.groups != 1:
        return False
    if expand.bias is not None and any(cast("tuple[int, int]", convolution.padding)):
        return False
    _replace(module, node, _expanded(convolution, expand))
    node.args = (node.all_input_nodes[0].args[0],)
    return True


_IDENTITIES: tuple[Identity, ...] = (_expand_convolution, _project_convolution, _project_addition)


def _absorbs_projection(branch: fx.Node) -> bool:
    layer = nodes.module_of(branch)
    if isinstance(layer, Pointwise):
        return True
    return isinstance(layer, nn.Conv2d) and layer.groups == 1 and len(branch.users) == 1


def _projected(convolution: nn.Conv2d, project: Pointwise) -> nn.Conv2d:
    matrix = project.matrix.double()
    weight = torch.einsum("ko,oihw->kihw", matrix, convolution.weight.detach().double())
    bias = torch.zeros(len(matrix), dtype=torch.float64, device=matrix.device)
    if convolution.bias is not None:
        bias = bias + matrix @ convolution.bias.detach().double()
    if project.bias is not None:
        bias = bias + project.bias.detach().double()
    has_bias = convolution.bias is not None or project.bias is not None
    return _like(convolution, weight, bias if has_bias else None)


def _expanded(convolution: nn.Conv2d, expand: Pointwise) -> nn.Conv2d:
    kernel = convolution.weight.detach().double()
    weight = torch.einsum("oihw,ik->okhw", kernel, expand.matrix.double())
    bias = None if convolution.bias is None else convolution.bias.detach().double()
    if expand.bias is not None:
        shift = kernel.sum((2, 3)) @ expand.bias.detach().double()
        bias = shift if bias is None else bias + shift
    return _like(convolution, weight, bias)


def _like(convolution: nn.Conv2d, weight: Tensor, bias: Tensor | None) -> nn.Conv2d:
    """Makes a convolution of the same kind and geometry with other weights (out, in, kh, kw)."""
    original = convolution.weight
    if isinstance(convolution, Pointwise):
        return Pointwise.of(weight[:, :, 0, 0].to(original), bias, convolution.map_name)
    layer = nn.Conv2d(
        weight.shape[1],
        weight.shape[0],
        cast("tuple[int, int]", convolution.kernel_size),
        cast("tuple[int, int]", convolution.stride),
        cast("tuple[int, int]", convolution.padding),
        cast("tuple[int, int]", convolution.dilation),
        bias=bias is not None,
        padding_mode=convolution.padding_mode,
    )
    return _filled(layer.to(original.device, original.dtype), weight, bias)


def _pointwise(layer: nn.Conv2d, map_name: str) -> Pointwise:
    bias = None if layer.bias is None else layer.bias.detach()
    return Pointwise.of(layer.weight.detach()[:, :, 0, 0], bias, map_name)


def _filled(layer: Layer, weight: Tensor, bias: Tensor | None) -> Layer:
    with torch.no_grad():
        layer.weight.copy_(weight)
        if layer.bias is not None and bias is not None:
            layer.bias.copy_(bias)
    return layer


def _erase_unread(graph: fx.Graph) -> None:
    for node in reversed(graph.nodes):
        if not node.users and not node.is_impure():
            graph.erase_node(node)


def _previous(node: fx.Node) -> fx.Node | None:
    """The node that gives a node's first tensor, None where it gets none."""
    return node.all_input_nodes[0] if node.all_input_nodes else None


def _called_once(module: fx.GraphModule, node: fx.Node) -> bool:
    targets = [other.target for other in module.graph.nodes if other.op == "call_module"]
    return targets.count(node.target) == 1


def _call(module: fx.GraphModule, name: str, layer: nn.Module, argument: object) -> fx.Node:
    target = f"folded.{name}"
    module.add_submodule(target, layer)
    return module.graph.call_module(target, (cast(fx.Node, argument),))


def _replace(module: fx.GraphModule, node: fx.Node, layer: nn.Module) -> None:
    """Gives a node a layer that no other node calls: another call of the same module keeps the old one."""
    target = cast(str, node.target)
    if not _called_once(module, node):
        target = f"folded.{node.name}"
        node.target = target
    module.add_submodule(target, layer)
