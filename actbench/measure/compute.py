"""Compute: multiply-accumulates as torch counts them, and bit operations, `w·a·MACs` plus what codecs state."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn

from actbench.budget import REFERENCE, Bits
from actbench.codec.layouts import as_map
from actbench.codec.payload import Payload
from actbench.errors import Unsupported
from actbench.feature_map import FLOAT_BITS
from actbench.measure.operands import Operations
from actbench.network import nodes
from actbench.network.quantize import weight_widths, weights
from actbench.network.splice import Decode, Encode

IMAGE_BITS = 8
"""Width of the image's pixels, which the first layer reads."""


@dataclass
class Counts:
    """MACs of one image by node, and bit operations `by_node`: weight bits × code bits × MACs by one rule, in layers
    and inside codecs, at the widths that are really used (fp32 for what is not stored), and what codecs state beside
    their products."""

    macs: dict[str, int] = field(default_factory=dict)
    by_node: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """All MACs."""
        return sum(self.macs.values())

    @property
    def bit_operations(self) -> int:
        """All bit operations."""
        return sum(self.by_node.values())


class _Counter(fx.Interpreter):
    def __init__(self, module: fx.GraphModule, bits: Bits) -> None:
        super().__init__(module)
        self.counts = Counts()
        self.in_fp32: dict[str, str] = {}
        self._bits = bits
        widths, found = weight_widths(module, bits.weights), weights(module)
        self._operations = Operations(module, {id(found[name].tensor): width for name, width in widths.items()})

    def run(self, *args: Any, **more: Any) -> Any:
        with torch.no_grad(), self._operations:
            return super().run(*args, **more)

    def run_node(self, n: fx.Node) -> Any:
        stage, before = nodes.module_of(n), (self._operations.macs, self._operations.bit_operations)
        self._operations.outside = self._string_width(n)
        self._operations.in_fp32.clear()
        result = super().run_node(n)
        self._mark(n, stage, result)
        if self._operations.macs > before[0]:
            self.counts.macs[n.name] = self._operations.macs - before[0]
        self.counts.by_node[n.name] = self._operations.bit_operations - before[1] + self._stated(n, stage)
        if not isinstance(stage, Encode | Decode):
            self.in_fp32 |= {name: nodes.label(n) for name in self._operations.in_fp32}
        return result

    def _mark(self, node: fx.Node, stage: nn.Module | None, result: Any) -> None:
        if node.op == "placeholder":
            self._operations.mark(result, FLOAT_BITS if self._bits.weights == FLOAT_BITS else IMAGE_BITS)
        elif isinstance(stage, Encode):
            self._mark_payload(result)
        elif isinstance(stage, Decode):
            self._operations.mark_outside(result)

    def _stated(self, node: fx.Node, stage: nn.Module | None) -> int:
        """What a codec states beside its products."""
        if not isinstance(stage, Encode):
            return 0
        return stage.codec.operations(_shape(stage, self.env[node.all_input_nodes[0]]))

    def _mark_payload(self, payload: Payload) -> None:
        all_side = all(part.side for part in payload.fields.values())
        for part in payload.fields.values():
            if part.side and not all_side:
                self._operations.mark_constant(part.values)
            else:
                self._operations.mark(part.values, part.bits if part.lengths is None else self._bits.high)

    def _string_width(self, node: fx.Node) -> int | None:
        """The width of codes that a node reads as strings of bits: no field tells it, and it is the widest at most."""
        payload = self.env[node.all_input_nodes[0]] if node.all_input_nodes else None
        fields = payload.fields.values() if isinstance(payload, Payload) else ()
        return self._bits.high if any(part.lengths is not None for part in fields) else None


def count(module: fx.GraphModule, image: Tensor, bits: Bits = REFERENCE.bits) -> Counts:
    """Runs one image (1, C, H, W) through a network with weights quantised as `bits` say, and counts. Raises
    Unsupported, with the layer's name, where a layer computes products of weights that are not quantised."""
    counter = _Counter(module, bits)
    counter.run(image)
    if counter.in_fp32 and bits.weights != FLOAT_BITS:
        parameter, layer = next(iter(counter.in_fp32.items()))
        raise Unsupported(f"{layer}: {parameter} is not quantised: it is not the weight of a known kind of layer")
    return counter.counts


def in_fp32(module: fx.GraphModule, bits: Bits, *image: Tensor) -> dict[str, str]:
    """Finds the parameters that are not quantised where products of them are computed, and the layers that do: from one
    image (1, C, H, W), and what else the network takes, that runs through it."""
    counter = _Counter(module, bits)
    counter.run(*image)
    return counter.in_fp32


def _shape(stage: Encode, x: Tensor) -> tuple[int, int, int]:
    """The (C, H, W) of what an encoder reads."""
    channels, height, width = as_map(x, stage.layout).shape[1:]
    return channels, height, width
