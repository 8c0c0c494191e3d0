"""Steps of a graph that can be computed on some rows: which rows of their inputs they need, and what they compute."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torch.nn import functional
from typing_extensions import override

from actbench.codec.modules import NONLINEARITIES, build
from actbench.network import nodes
from actbench.runtime.call import call
from actbench.runtime.integer_convolution import Dequantized
from actbench.runtime.spans import Span
from actbench.runtime.step import RowStep
from actbench.runtime.windows import (
    AveragePooling,
    Convolution,
    MaxPooling,
    TransposedConvolution,
    pads_alike,
)

_UNCHANGED = (nn.Identity, nn.Dropout, nn.Dropout2d)
_POINTWISE_MODULES = (
    *NONLINEARITIES.values(),
    Dequantized,
    *_UNCHANGED,
    nn.BatchNorm2d,
)
_POINTWISE_FUNCTIONS = {
    *NONLINEARITIES,
    *("add", "sub", "mul", "div", "truediv", "neg", "abs", "clamp", "exp", "square"),
}


_IN_PLACE: dict[str, Callable[..., Tensor]] = {"relu": torch.relu_, "add": Tensor.add_}
"""Functions that may as well write into any of their arguments."""


class Pointwise(RowStep):
    """Each row of the output is made of the same row of the inputs, and of all of an input that is broadcast."""

    def __init__(self, node: fx.Node, shapes: Sequence[tuple[int, ...]], shape: tuple[int, ...]) -> None:
        self._node = node
        heights = _heights(shapes)
        self._whole = [None if each == shape[2] else Span(0, each) for each in heights]
        self._in_place = _in_place(node)
        self._overwritable = [place for place, each in enumerate(shapes) if self._in_place and each == shape]

    @override
    def needs(self, rows: Span) -> list[Span]:
        return [whole or rows for whole in self._whole]

    @override
    def run(self, inputs: Sequence[Tensor], rows: Span) -> Tensor:
        given = dict(zip(self._node.all_input_nodes, inputs, strict=True))
        return cast(Tensor, call(self._node, given.__getitem__))

    @property
    @override
    def is_view(self) -> bool:
        return isinstance(nodes.module_of(self._node), _UNCHANGED)

    @property
    @override
    def overwritable(self) -> Sequence[int]:
        return self._overwritable

    @override
    def overwrite(self, inputs: Sequence[Tensor], rows: Span, place: int) -> Tensor:
        assert self._in_place is not None
        return self._in_place(inputs[place], *inputs[:place], *inputs[place + 1 :])


class Upsampling(RowStep):
    """Upsampling by a whole factor: nearest, or bilinear between the rows' centres."""

    def __init__(self, mode: str, height: int, factor: int, width: int) -> None:
        self._mode = mode
        self._height, self._factor, self._width = height, factor, width
        self._margin = 1 if mode == "bilinear" else 0

    @override
    def needs(self, rows: Span) -> list[Span]:
        start = rows.start // self._factor - self._margin
        stop = (rows.stop - 1) // self._factor + 1 + self._margin
        return [Span(max(start, 0), min(stop, self._height))]

    @override
    def run(self, inputs: Sequence[Tensor], rows: Span) -> Tensor:
        base = self.needs(rows)[0]
        size = (base.height * self._factor, self._width)
        corners = None if self._mode == "nearest" else False
        larger = functional.interpolate(inputs[0], size, mode=self._mode, align_corners=corners)
        start = base.start * self._factor
        return larger[:, :, rows.start - start : rows.stop - start]


class Slicing(RowStep):
    """Every so many rows from one on, and slices of channels and columns."""

    def __init__(self, slices: Sequence[slice]) -> None:
        _, channels, rows, columns = slices
        self._first, self._every = rows.start or 0, rows.step or 1
        self._index = (slice(None), channels, slice(None, None, self._every), columns)

    @property
    @override
    def is_view(self) -> bool:
        return True

    @override
    def needs(self, rows: Span) -> list[Span]:
        first, last = (self._first + row * self._every for row in (rows.start, rows.stop - 1))
        return [Span(first, last + 1)]

    @override
    def run(self, inputs: Sequence[Tensor], rows: Span) -> Tensor:
        return inputs[0][self._index]


def row_step(node: fx.Node, shapes: Sequence[tuple[int, ...]], shape: tuple[int, ...]) -> RowStep | None:
    """The step that a node is, from the shapes (batch, C, H, W) of its tensor inputs and of its output; None for one
    that needs the whole of its inputs."""
    if len(shape) != 4 or not shapes or len(shapes[0]) != 4:
        return None
    layer, heights = nodes.module_of(node), _heights(shapes)
    if isinstance(layer, nn.ConvTranspose2d):
        return TransposedConvolution(layer, heights[0])
    if isinstance(layer, nn.Conv2d):
        return Convolution(layer, heights[0]) if pads_alike(layer) else None
    pooling = _pooling(node)
    if isinstance(pooling, nn.MaxPool2d):
        return MaxPooling(pooling, heights[0], shape[3])
    if isinstance(pooling, nn.AvgPool2d):
        return AveragePooling(pooling, heights[0]) if AveragePooling.divides_alike(pooling) else None
    if slices := _slices(node):
        return Slicing(slices)
    rows_fit = all(each == 1 or (each == shape[2] and len(of) == 4) for each, of in zip(heights, shapes, strict=True))
    if _is_pointwise(node) and rows_fit:
        return Pointwise(node, shapes, shape)
    return _upsampling(node, shapes[0], shape)


def is_mean(node: fx.Node) -> bool:
    """Whether a node is the mean over all positions of each channel, (batch, C, 1, 1) or (batch, C)."""
    layer = nodes.module_of(node)
    name = nodes.function_name(node) if node.op in ("call_function", "call_method") else ""
    if name == "mean":
        dimensions = _argument(node, 1, "dim")
        return isinstance(dimensions, list | tuple) and sorted(each % 4 for each in dimensions) == [2, 3]
    size = _argument(node, 1, "output_size") if name == "adaptive_avg_pool2d" else None
    size = layer.output_size if isinstance(layer, nn.AdaptiveAvgPool2d) else size
    return size in (1, (1, 1), [1, 1])


def _is_pointwise(node: fx.Node) -> bool:
    layer = nodes.module_of(node)
    if layer is not None:
        return isinstance(layer, _POINTWISE_MODULES)
    if node.op not in ("call_function", "call_method"):
        return False
    name = nodes.function_name(node).strip("_")
    if name == "pad":
        return _pads_no_row(node)
    if name in ("cat", "concat"):
        return _argument(node, 1, "dim") in (1, -3)
    return name in _POINTWISE_FUNCTIONS


def _heights(shapes: Sequence[tuple[int, ...]]) -> list[int]:
    return [each[-2] if len(each) > 1 else 1 for each in shapes]


def _in_place(node: fx.Node) -> Callable[..., Tensor] | None:
    """What computes a node's tensor into one of its inputs, where it is made of nothing but tensors."""
    if isinstance(nodes.module_of(node), nn.ReLU):
        return torch.relu_
    tensors_alone = len(node.all_input_nodes) == len(node.args) and not node.kwargs
    return _IN_PLACE.get(nodes.function_name(node)) if tensors_alone else None


def _pads_no_row(node: fx.Node) -> bool:
    """Whether a node pads channels and columns only, with a constant."""
    amounts, mode = _argument(node, 1, "pad"), _argument(node, 2, "mode") or "constant"
    whole = isinstance(amounts, list | tuple) and all(isinstance(amount, int) for amount in amounts)
    return whole and mode == "constant" and not any(amounts[2:4])


def _slices(node: fx.Node) -> Sequence[slice] | None:
    """Slices by which a node takes a part of all four dimensions, the whole batch and rows from the top on."""
    if node.op != "call_function" or nodes.function_name(node) != "getitem" or not isinstance(node.args[1], tuple):
        return None
    parts = [part if isinstance(part, slice) else None for part in node.args[1]]
    slices = [part for part in parts if part is not None]
    if len(parts) != 4 or len(slices) != 4 or slices[0] != slice(None):
        return None
    numbers = [number for part in slices for number in (part.start, part.stop, part.step) if number is not None]
    return slices if all(isinstance(number, int) and number >= 0 for number in numbers) else None


def _pooling(node: fx.Node) -> nn.Module | None:
    operation = nodes.operation_of(node)
    if operation is None or operation.name in NONLINEARITIES:
        return None
    return build(operation)


def _upsampling(node: fx.Node, shape: tuple[int, ...], result: tuple[int, ...]) -> RowStep | None:
    layer = nodes.module_of(node)
    if isinstance(layer, nn.Upsample):
        mode, corners = layer.mode, bool(layer.align_corners)
    elif node.op == "call_function" and nodes.function_name(node) == "interpolate":
        mode = _argument(node, 3, "mode") or "nearest"
        corners = bool(_argument(node, 4, "align_corners"))
    else:
        return None
    factor = result[2] // shape[2]
    whole = factor >= 1 and result[2] == factor * shape[2] and result[3] % shape[3] == 0
    if not whole or corners or mode not in ("nearest", "bilinear"):
        return None
    return Upsampling(mode, shape[2], factor, result[3])


def _argument(node: fx.Node, place: int, name: str) -> Any:
    return node.args[place] if len(node.args) > place else node.kwargs.get(name)
