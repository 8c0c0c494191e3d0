"""Shapes of all tensors of a deployed network for an input, without computing any of them."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from typing_extensions import override

from actbench.codec.layouts import as_map, as_tensor
from actbench.codec.rows import NO_HEAD, Attempts, Collects, Rows
from actbench.network.splice import Decode, Encode

Shape = tuple[int, ...]


class TensorShape(tuple[int, ...]):
    """The shape of a tensor, told from what a graph computes with shapes."""


Values = dict[fx.Node, Any]
"""Of a node that gives a tensor its TensorShape; of any other what it gives."""


def works_in_rows(stage: Encode | Decode) -> bool:
    """Whether a map is written and read a few rows at a time."""
    return isinstance(stage.codec, Rows | Collects) and stage.layout.channels_first


def shapes_of(module: fx.GraphModule, shape: Shape) -> Values:
    """Finds the shapes for an input (batch, C, H, W)."""
    parameter = next(module.parameters(), torch.empty(0))
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        interpreter = _Shapes(module)
        interpreter.run(torch.empty(shape, dtype=parameter.dtype, device=parameter.device))
    return interpreter.values


class _Shapes(fx.Interpreter):
    """Runs the graph on tensors without values; what is encoded is handed on to where it is decoded."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module, garbage_collect_values=False)
        self.values: Values = {}

    @override
    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        self.values[n] = TensorShape(result.shape) if isinstance(result, Tensor) else result
        return result

    @override
    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        stage = cast(nn.Module, self.fetch_attr(target))
        if isinstance(stage, Encode):
            return args[0]
        if isinstance(stage, Decode):
            return args[0].new_empty(_decoded(stage, args[0]))
        return super().call_module(target, args, kwargs)


def _decoded(stage: Decode, encoded: Tensor) -> Shape:
    """Shape of what is decoded; where the stage does not know it, it is tried on zeros."""
    if isinstance(stage.codec, Collects):
        return tuple(encoded.shape)
    if not stage.layout.channels_first:
        batch, *sizes = as_map(encoded, stage.layout).shape
        return tuple(as_tensor(encoded.new_empty(batch, *(stage.shape or sizes)), stage.layout).shape)
    batch, channels, height, width = encoded.shape
    zeros = partial(torch.zeros, dtype=encoded.dtype, device=encoded.device)
    if stage.shape is not None:
        return (batch, *stage.shape)
    codec = stage.codec
    with unset_fake_temporarily():
        if not isinstance(codec, Rows):
            return (batch, *stage(codec.encode(zeros(1, channels, height, width))).shape[1:])
        head = codec.first_head(1) if isinstance(codec, Attempts) else NO_HEAD
        rows = zeros(1, channels, min(codec.rows, height), width)
        decoded = codec.decode_rows(codec.encode_rows(rows, head), head)
    return (batch, decoded.shape[1], height, decoded.shape[3])
