"""Codes in ONNX: maps that are stored, between QuantizeLinear and DequantizeLinear, and weights as integers."""

from __future__ import annotations

from typing import Any

import numpy
import torch
from torch import fx

from actbench.errors import Unsupported
from actbench.exporting.call import Call
from actbench.exporting.graph import Graph, Numbers
from actbench.exporting.weights import Codes
from actbench.network import nodes

_TYPES = (4, 8, 16)
"""Bits of the integers that the opset has; a code takes the smallest that holds it."""


def integer_type(width: int, *, signed: bool, least: int = _TYPES[0]) -> Any:
    """NumPy's type of integers, of `least` bits at least, that hold codes of so many. Raises Unsupported for more than
    16."""
    import ml_dtypes

    bits = next((bits for bits in _TYPES if max(width, least) <= bits), None)
    if bits is None:
        raise Unsupported(f"codes of {width} bits: ONNX quantises to 16 at most")
    if bits == 4:
        return numpy.dtype(ml_dtypes.int4 if signed else ml_dtypes.uint4)
    return numpy.dtype(f"{'int' if signed else 'uint'}{bits}")


def quantized(call: Call) -> str:
    """The codes of a map: `QuantizeLinear(min(x − low, highest), step)`. The zero point is 0, as the low end of a clip
    is seldom a multiple of the step; and the integers may have more values than the codes. Codes that something else
    reads than what decodes them stay numbers in fp32."""
    graph, width = call.graph, int(call["width"])
    low, step = call.table("low"), call.table("step")
    x, levels = call.read("x"), (1 << width) - 1
    if numpy.any(low):
        x = call.add("Sub", x, graph.constant(_beside(call, low)))
    if not _are_stored(call.node):
        codes = call.add("Round", call.add("Div", x, graph.constant(_beside(call, step))))
        return call.add("Clip", codes, graph.constant(0.0), graph.constant(float(levels)))
    if width not in (8, 16):  # with 4 bits too, or onnxruntime would move the quantisation before a pooling
        x = call.add("Min", x, graph.constant(_beside(call, levels * step)))
    return call.add("QuantizeLinear", x, graph.constant(step), _zeros(call, call.node, step), **_axis(step))


def dequantized(call: Call) -> str:
    """The values of codes."""
    low, step, written = call.table("low"), call.table("step"), call["x"]
    if _are_stored(written):
        zeros = _zeros(call, written, step)
        x = call.add("DequantizeLinear", call.read("x"), call.graph.constant(step), zeros, **_axis(step))
    else:
        x = call.add("Mul", call.read_as("x", torch.float32), call.graph.constant(_beside(call, step)))
    return call.add("Add", x, call.graph.constant(_beside(call, low))) if numpy.any(low) else x


def weight_of_codes(graph: Graph, name: str, codes: Codes) -> str:
    """A layer's weights: integers, and a step for each output channel."""
    kind = integer_type(codes.width, signed=True)
    integers = graph.constant(codes.integers.numpy().astype(numpy.int32).astype(kind), f"{name}.codes")
    steps = graph.constant(codes.steps.numpy(), f"{name}.steps")
    return graph.add("DequantizeLinear", integers, steps, name=name, axis=codes.axis)


def _zeros(call: Call, written: fx.Node, step: Numbers) -> str:
    """Zero points, in the type of the codes that a node writes. onnxruntime moves a pooling before the values of codes
    are computed, and has none of 4-bit integers."""
    readers = [reader for values in written.users for reader in values.users]
    pooled = any("max_pool" in nodes.function_name(reader) for reader in readers)
    kind = integer_type(int(call["width"]), signed=False, least=8 if pooled else 4)
    return call.graph.constant(numpy.zeros(step.shape, kind))


def _are_stored(node: fx.Node) -> bool:
    """Whether a node gives codes that nothing reads but what decodes them."""
    decoded = all(nodes.function_name(user) == "to_values" for user in node.users)
    return nodes.function_name(node) == "to_codes" and decoded


def _axis(step: Numbers) -> dict[str, int]:
    return {"axis": 1} if step.ndim else {}


def _beside(call: Call, numbers: Numbers) -> Numbers:
    return numbers.reshape(-1, *[1] * (call.rank_of("x") - 2)) if numbers.ndim else numbers
