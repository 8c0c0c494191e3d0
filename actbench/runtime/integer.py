"""The integer form of a deployed network: convolutions that read a map of plain codes read the codes themselves."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, fx, nn
from typing_extensions import override

from actbench.codec.codec import Codec
from actbench.codec.payload import Payload, unsigned
from actbench.codec.plain import PlainCodec
from actbench.codec.quantizers import UniformQuantizer
from actbench.network import nodes
from actbench.network.quantize import weight_widths
from actbench.network.splice import Decode, Encode, tidy
from actbench.runtime.integer_convolution import Dequantized, IntegerConvolution, Kernels, kernels

_MOST_BITS = 8


class PlainCodes(PlainCodec):
    """A plain codec of at most 8 bits whose decoded map is its codes, uint8."""

    quantizer: UniformQuantizer

    @override
    def encode(self, x: Tensor) -> Payload:
        return Payload(codes=unsigned(self.quantizer.encode(x).to(torch.uint8), self.quantizer.width))

    @override
    def decode(self, payload: Payload) -> Tensor:
        return payload["codes"]


@dataclass(frozen=True)
class IntegerForm:
    """A deployed network some of whose convolutions run in integers. `layers`: these; `others`: why each of the other
    convolutions does not; `engine`: the kernels, empty where the processor has none."""

    module: fx.GraphModule
    layers: tuple[str, ...]
    others: Mapping[str, str]
    engine: str


def integer_form(module: fx.GraphModule, weight_bits: int) -> IntegerForm:
    """Copies a deployed network, whose weights have `weight_bits`, into its integer form: it gives what the network
    gives, but for the rounding of sums in fp32."""
    module, found = copy.deepcopy(module), kernels()
    widths = weight_widths(module, weight_bits)
    layers, others = [], {}
    convolutions = [node for node in module.graph.nodes if isinstance(nodes.module_of(node), nn.Conv2d)]
    called = Counter(node.target for node in convolutions)
    for node in convolutions:
        reason = _obstacle(node, widths[str(node.target)], found) if called[node.target] == 1 else "called repeatedly"
        if reason:
            others[nodes.label(node)] = reason
        else:
            layers.append(node)
    for decode in dict.fromkeys(node.all_input_nodes[0] for node in layers):
        _read_codes(module, decode, [node for node in decode.users if node in layers], widths)
    tidy(module)
    return IntegerForm(module, tuple(map(nodes.label, layers)), others, found.name if found else "")


def integer_weights(weight: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Finds the integers (out, ...) int8 and steps (out,) that rounded weights are products of: the largest of each
    output channel is the largest code."""
    top = (1 << (width - 1)) - 1
    steps = weight.detach().flatten(1).abs().amax(1).clamp_min(1e-12) / top
    integers = (weight.detach() / steps[:, None, None, None]).round().to(torch.int8)
    return integers, steps


def _obstacle(node: fx.Node, width: int, found: Kernels | None) -> str:
    """Why a convolution cannot run in integers; empty where it can."""
    layer, quantizer = cast(nn.Conv2d, nodes.module_of(node)), _plain_quantizer(node.all_input_nodes[0])
    if found is None:
        return "the processor has no kernels for it"
    if quantizer is None:
        return "reads no map of plain codes of at most 8 bits"
    if width > _MOST_BITS:
        return f"weights of {width} bits"
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        return "not padded with as many zeros on all sides"
    if quantizer.high.dim():
        return "each channel of its codes has a clip of its own"
    if any(layer.padding) and quantizer.low.item() != 0:
        return "padded with zeros, which no code stands for"
    largest = int(integer_weights(layer.weight, width)[0].abs().amax())
    if quantizer.levels * largest > found.product:
        return "sums of products could overflow: the processor adds pairs of them in 16 bits"
    return ""


def _plain_quantizer(node: fx.Node) -> UniformQuantizer | None:
    """The quantiser of what a node decodes; None where it decodes no plain codes of at most 8 bits."""
    stage = nodes.module_of(node)
    if not isinstance(stage, Decode) or not stage.layout.channels_first or type(stage.codec) is not PlainCodec:
        return None
    quantizer = stage.codec.quantizer
    return quantizer if quantizer is not None and quantizer.width <= _MOST_BITS else None


def _read_codes(module: fx.GraphModule, decode: fx.Node, layers: list[fx.Node], widths: Mapping[str, int]) -> None:
    """Hands on the codes of a map to `layers`, and what they stand for to all others that read it."""
    stages = (nodes.module_of(decode.all_input_nodes[0]), nodes.module_of(decode))
    quantizer = cast(UniformQuantizer, _plain_quantizer(decode))
    codec: Codec = PlainCodes(quantizer)
    for stage in stages:
        cast("Encode | Decode", stage).codec = codec
    others = [user for user in decode.users if user not in layers]
    for node in layers:
        layer = cast(nn.Conv2d, nodes.module_of(node))
        integers = integer_weights(layer.weight, widths[str(node.target)])
        module.set_submodule(str(node.target), IntegerConvolution(layer, quantizer, *integers))
    if others:
        target = f"{decode.target}d_values"
        module.add_submodule(target, Dequantized(quantizer))
        with module.graph.inserting_after(decode):
            values = module.graph.call_module(target, (decode,))
        for user in others:
            user.replace_input_with(decode, values)
