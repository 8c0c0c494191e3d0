"""Compute: multiply-accumulates as torch counts them, and bit operations, `w·a·MACs` plus the codecs' own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, fx, nn
from torch.utils.flop_counter import FlopCounterMode

from actbench.codec.packing import Layout
from actbench.feature_map import FLOAT_BITS
from actbench.network import nodes
from actbench.network.cheap_steps import only_selects
from actbench.network.deploy import StoredConvolution
from actbench.network.quantize import weight_widths
from actbench.network.splice import Decode, Encode

IMAGE_BITS = 8
"""Width of the image's pixels, which the first layer reads."""


@dataclass
class NodeCounts:
    """MACs of one image by node, and the shapes that encoders read."""

    macs: dict[str, int] = field(default_factory=dict)
    encoded: dict[str, tuple[int, int, int]] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """All MACs."""
        return sum(self.macs.values())


class _Counter(fx.Interpreter):
    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.counts = NodeCounts()

    def run_node(self, n: fx.Node) -> object:
        with FlopCounterMode(display=False) as flops:
            result = super().run_node(n)
        if flops.get_total_flops():
            self.counts.macs[n.name] = flops.get_total_flops() // 2
        if isinstance(nodes.module_of(n), Encode):
            channels, height, width = self.env[n.all_input_nodes[0]].shape[1:]
            self.counts.encoded[n.name] = (channels, height, width)
        return result


def count(module: fx.GraphModule, image: Tensor) -> NodeCounts:
    """Runs one image (1, C, H, W) and counts; a FLOP counter counts two operations for a MAC."""
    counter = _Counter(module)
    with torch.no_grad():
        counter.run(image)
    return counter.counts


def bit_operations(module: fx.GraphModule, counts: NodeCounts, layouts: Mapping[str, Layout], weight_bits: int) -> int:
    """Σ w·a·MACs over layers (a: the width of the stored codes that a layer reads, fp32 for what is not stored),
    plus what encoding and decoding cost: their MACs in fp32 and the operations that the codec states."""
    widths = weight_widths(module, weight_bits)
    total = 0
    for node in module.graph.nodes:
        macs = counts.macs.get(node.name, 0)
        stage = nodes.module_of(node)
        if isinstance(stage, Encode):
            total += stage.codec.operations(counts.encoded[node.name])
        if isinstance(stage, StoredConvolution):
            total += widths[f"{node.target}.convolution"] * _read_width(node, layouts, weight_bits) * macs
        elif isinstance(stage, nn.Conv2d | nn.Linear):
            total += widths[str(node.target)] * _read_width(node, layouts, weight_bits) * macs
        else:
            total += FLOAT_BITS * FLOAT_BITS * macs
    return total


def _read_width(node: fx.Node, layouts: Mapping[str, Layout], weight_bits: int) -> int:
    """The width of the values that a layer reads: walks up to what was stored, past what selects from it."""
    return _width(node.all_input_nodes[0], layouts, weight_bits)


def _width(source: fx.Node, layouts: Mapping[str, Layout], weight_bits: int) -> int:
    stage = nodes.module_of(source)
    if isinstance(stage, Encode | Decode):
        values = [part.bits for part in layouts[stage.name] if not part.side]
        return max(values or [part.bits for part in layouts[stage.name]])
    if source.op == "placeholder" and weight_bits != FLOAT_BITS:
        return IMAGE_BITS
    if only_selects(source):
        return max((_width(read, layouts, weight_bits) for read in nodes.read_by(source)), default=FLOAT_BITS)
    return FLOAT_BITS
