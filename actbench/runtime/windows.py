"""Steps that slide a window over rows: convolutions and pooling."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from actbench.runtime.integer_convolution import IntegerConvolution
from actbench.runtime.spans import Sliding, Span
from actbench.runtime.step import RowStep


class Windowed(RowStep):
    """Each row of the output is made of a window of rows of the one input."""

    def __init__(self, window: Sliding) -> None:
        self._window = window

    @override
    def needs(self, rows: Span) -> list[Span]:
        return [self._window.needs(rows)]

    @override
    def scratch(self, rows: Span, read: int, made: int) -> int:
        return read if any(self._window.outside(rows)) else 0  # what is padded is a copy


class Convolution(Windowed):
    """A convolution, padded with zeros above and below where its window leaves the map."""

    def __init__(self, layer: nn.Conv2d, height: int) -> None:
        self._layer = layer
        self._vertical, self._horizontal = _paddings(layer)
        super().__init__(Sliding(height, layer.kernel_size[0], layer.stride[0], self._vertical, layer.dilation[0]))

    @override
    def run(self, inputs: Sequence[Tensor], rows: Span) -> Tensor:
        layer, above, below = self._layer, *self._window.outside(rows)
        x, vertical = inputs[0], 0
        if above == below == self._vertical:
            vertical = self._vertical  # the whole map
        else:
            x = _padded(x, above, below)
        if isinstance(layer, IntegerConvolution):
            return layer.convolve(x, (vertical, self._horizontal))
        return functional.conv2d(
            x, layer.weight, layer.bias, layer.stride, (vertical, self._horizontal), layer.dilation, layer.groups
        )


class TransposedConvolution(RowStep):
    """A transposed convolution: input row i is spread over the output rows `i·stride − padding + j·dilation`."""

    def __init__(self, layer: nn.ConvTranspose2d, height: int) -> None:
        self._layer = layer
        self._height = height
        self._stride, self._padding = layer.stride[0], cast(int, layer.padding[0])
        self._span = layer.dilation[0] * (layer.kernel_size[0] - 1)

    @override
    def needs(self, rows: Span) -> list[Span]:
        first = -(-(rows.start + self._padding - self._span) // self._stride)
        last = (rows.stop - 1 + self._padding) // self._stride
        # Rows that no input reaches are read of one that begins no later.
        start = max(0, min(first, (rows.start + self._padding) // self._stride, self._height - 1))
        return [Span(start, max(min(last + 1, self._height), start + 1))]

    @override
    def run(self, inputs: Sequence[Tensor], rows: Span) -> Tensor:
        layer, start = self._layer, self.needs(rows)[0].start * self._stride - self._padding
        spread = functional.conv_transpose2d(
            inputs[0],
            layer.weight,
            None,
            layer.stride,
            (0, cast(int, layer.padding[1])),
            (0, layer.output_padding[1]),
            layer.groups,
            layer.dilation,
        )
        # Rows that no input reaches hold the bias alone: so do those of an output padding.
        missing = max(0, rows.stop - start - spread.shape[2])
        result = functional.pad(spread, (0, 0, 0, missing))[:, :, rows.start - start : rows.stop - start]
        return result if layer.bias is None else result + layer.bias[:, None, None]


class MaxPooling(Windowed):
    """The largest of each window; what is outside the map is less than anything.

    Of rows first, and then of columns, which is a fifth of the time of `max_pool2d` and makes no positions."""

    def __init__(self, layer: nn.MaxPool2d, height: int, width: int) -> None:
        kernel, stride, self._padding, dilation = (
            _pair(value) for value in (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
        )
        super().__init__(Sliding(height, kernel[0], stride[0], self._padding[0], dilation[0]))
        self._vertical, self._horizontal = (
            partial(_largest, dim=2 + side, kernel=kernel[side], stride=stride[side], dilation=dilation[side])
            for side in (0, 1)
        )
        self._width = width
        self._reach = (width - 1) * stride[1] + dilation[1] * (kernel[1] - 1) + 1

    @override
    def scratch(self, rows: Span, read: int, made: int) -> int:
        return super().scratch(rows, read, made) + read // 2

    @override
    def run(self, inputs: Sequence[Tensor], rows: Span) -> Tensor:
        x = _padded(inputs[0], *self._window.outside(rows), -torch.inf)
        x, left = self._vertical(x, count=rows.height), self._padding[1]
        right = self._reach - left - x.shape[3]
        if left or right > 0:
            x = functional.pad(x, (left, right), value=-torch.inf)
        return self._horizontal(x, count=self._width)


def _largest(x: Tensor, *, dim: int, kernel: int, stride: int, dilation: int, count: int) -> Tensor:
    """The largest of each of `count` windows along one dimension."""
    parts = [_every(x, dim, place * dilation, stride, count) for place in range(kernel)]
    if kernel == 1:
        return parts[0].clone()
    largest = torch.maximum(parts[0], parts[1])
    for part in parts[2:]:
        torch.maximum(largest, part, out=largest)
    return largest


def _every(x: Tensor, dim: int, start: int, stride: int, count: int) -> Tensor:
    index = [slice(None)] * x.dim()
    index[dim] = slice(start, start + (count - 1) * stride + 1, stride)
    return x[tuple(index)]


class AveragePooling(Windowed):
    """The mean of each window, zeros outside the map included."""

    def __init__(self, layer: nn.AvgPool2d, height: int) -> None:
        kernel, stride, padding = (_pair(value) for value in (layer.kernel_size, layer.stride, layer.padding))
        super().__init__(Sliding(height, kernel[0], stride[0], padding[0], 1))
        self._arguments = (kernel, stride, (0, padding[1]), False, True, layer.divisor_override)

    @staticmethod
    def divides_alike(layer: nn.AvgPool2d) -> bool:
        """Whether every window is divided by the same number, as it is here."""
        return not layer.ceil_mode and (layer.count_include_pad or not any(_pair(layer.padding)))

    @override
    def run(self, inputs: Sequence[Tensor], rows: Span) -> Tensor:
        x = _padded(inputs[0], *self._window.outside(rows))
        return functional.avg_pool2d(x, *self._arguments)


def _padded(x: Tensor, above: int, below: int, value: float = 0.0) -> Tensor:
    """Pads rows; what is negative is cut off, where a window lies outside the map altogether."""
    if above > 0 or below > 0:
        x = functional.pad(x, (0, 0, max(above, 0), max(below, 0)), value=value)
    return x[:, :, max(-above, 0) : x.shape[2] - max(-below, 0)] if above < 0 or below < 0 else x


def pads_alike(layer: nn.Conv2d) -> bool:
    """Tells whether there are zeros around the map, as many above as below and on the left as on the right."""
    even = layer.padding != "same" or not any(span % 2 for span in _spans(layer))
    return layer.padding_mode == "zeros" and even


def _paddings(layer: nn.Conv2d) -> tuple[int, int]:
    if layer.padding == "valid":
        return 0, 0
    if layer.padding == "same":
        vertical, horizontal = _spans(layer)
        return vertical // 2, horizontal // 2
    return _pair(layer.padding)


def _spans(layer: nn.Conv2d) -> tuple[int, int]:
    vertical, horizontal = (rate * (size - 1) for rate, size in zip(layer.dilation, layer.kernel_size, strict=True))
    return vertical, horizontal


def _pair(value: Any) -> tuple[int, int]:
    pair = (value, value) if isinstance(value, int) else tuple(value)
    return cast("tuple[int, int]", pair)
