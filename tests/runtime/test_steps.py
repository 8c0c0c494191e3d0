"""Rows of a step, however they are divided, are the rows of the whole."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor, fx, nn

from actbench.runtime.spans import Span
from actbench.runtime.step import RowStep
from actbench.runtime.steps import row_step


def step_of(module: nn.Module, *inputs: Tensor) -> tuple[RowStep | None, Tensor]:
    """The step that a module's last node is, and what the module computes."""
    graph = fx.symbolic_trace(module)
    node = next(node for node in reversed(graph.graph.nodes) if node.op != "output")
    result = module(*inputs)
    return row_step(node, [tuple(each.shape) for each in inputs], tuple(result.shape)), result


def divided(step: RowStep, inputs: tuple[Tensor, ...], cuts: list[int], height: int) -> Tensor:
    """The output put together of its spans between cuts."""
    edges = [0, *sorted({cut % height for cut in cuts} - {0}), height]
    parts = []
    for start, stop in pairwise(edges):
        rows = Span(start, stop)
        read = [x[:, :, need.start : need.stop] for x, need in zip(inputs, step.needs(rows), strict=True)]
        parts.append(step.run(read, rows))
        assert parts[-1].shape[2] == rows.height
    return torch.cat(parts, 2)


def assert_rows_are_the_whole(module: nn.Module, *inputs: Tensor, cuts: list[int]) -> None:
    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = module

        def forward(self, *x: Tensor) -> Tensor:
            return self.layer(x[0])

    step, whole = step_of(Holder(), *inputs)
    assert step is not None
    torch.testing.assert_close(divided(step, inputs, cuts, whole.shape[2]), whole, rtol=1e-10, atol=1e-10)


def map_of(height: int, width: int = 7, channels: int = 4) -> Tensor:
    return torch.randn(2, channels, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(height))


heights, cuts = st.integers(1, 19), st.lists(st.integers(0, 200), max_size=6)
kernels, strides, dilations = st.integers(1, 5), st.integers(1, 3), st.integers(1, 3)


@given(heights, kernels, strides, st.integers(0, 6), dilations, st.sampled_from([1, 2, 4]), st.booleans(), cuts)
def test_convolution(height, kernel, stride, padding, dilation, groups, bias, cuts):
    assume(height + 2 * padding > dilation * (kernel - 1) and kernel <= 7)
    layer = nn.Conv2d(4, 4, (kernel, 3), (stride, 1), (padding, 1), (dilation, 1), groups, bias).double()
    assert_rows_are_the_whole(layer, map_of(height), cuts=cuts)


@given(heights, kernels, strides, st.integers(0, 4), dilations, st.integers(0, 2), st.booleans(), cuts)
def test_transposed_convolution(height, kernel, stride, padding, dilation, extra, bias, cuts):
    assume(extra < max(stride, dilation))
    assume((height - 1) * stride - 2 * padding + dilation * (kernel - 1) + extra + 1 > 0)
    layer = nn.ConvTranspose2d(
        4, 6, (kernel, 3), (stride, 2), (padding, 1), (extra, 1), 2, bias, (dilation, 1), dtype=torch.float64
    )
    assert_rows_are_the_whole(layer, map_of(height), cuts=cuts)


@given(heights, kernels, strides, st.integers(0, 2), dilations, st.booleans(), cuts)
def test_max_pooling(height, kernel, stride, padding, dilation, ceil, cuts):
    assume(2 * padding <= kernel and height + 2 * padding > dilation * (kernel - 1))
    layer = nn.MaxPool2d((kernel, 2), (stride, 2), (padding, 1), (dilation, 1), ceil_mode=ceil)
    assert_rows_are_the_whole(layer, map_of(height), cuts=cuts)


@given(heights, kernels, strides, st.integers(0, 2), cuts)
def test_average_pooling(height, kernel, stride, padding, cuts):
    assume(2 * padding <= kernel and height + 2 * padding >= kernel)
    assert_rows_are_the_whole(nn.AvgPool2d((kernel, 2), (stride, 2), (padding, 1)), map_of(height), cuts=cuts)


@given(heights, st.integers(1, 4), st.sampled_from(["nearest", "bilinear"]), cuts)
def test_upsampling(height, factor, mode, cuts):
    corners = None if mode == "nearest" else False
    layer = nn.Upsample(scale_factor=factor, mode=mode, align_corners=corners)
    assert_rows_are_the_whole(layer, map_of(height), cuts=cuts)


class Function(nn.Module):
    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.function(x, y)


@pytest.mark.parametrize(
    ("function", "second"),
    [
        (lambda x, y: x + y, (2, 4, 9, 7)),
        (lambda x, y: x * y, (2, 4, 1, 1)),
        (lambda x, y: y.sigmoid_() * x, (2, 4, 1, 1)),
        (lambda x, y: torch.cat([x, y], 1), (2, 3, 9, 7)),
        (lambda x, y: torch.cat((y, x), dim=-3), (2, 3, 9, 7)),
        (lambda x, y: torch.add(x, y), (4, 1, 1)),
    ],
)
def test_several_inputs(function, second):
    x, y = map_of(9), torch.randn(second, dtype=torch.float64)
    graph = fx.symbolic_trace(Function(function))
    node = next(node for node in reversed(graph.graph.nodes) if node.op != "output")
    whole = function(x, y.clone())
    placed = {"x": x, "y": y.sigmoid() if "sigmoid" in str(graph.graph) else y}
    inputs = tuple(placed.get(each.name, placed["y"]) for each in node.all_input_nodes)
    step = row_step(node, [tuple(each.shape) for each in inputs], tuple(whole.shape))
    assert step is not None
    parts = []
    for rows in (Span(0, 4), Span(4, 5), Span(5, 9)):
        needs = zip(inputs, step.needs(rows), strict=True)
        parts.append(step.run([v[:, :, n.start : n.stop] if v.dim() == 4 else v for v, n in needs], rows))
    torch.testing.assert_close(torch.cat(parts, 2), whole)


@pytest.mark.parametrize(
    "module",
    [
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(4, 4, (2, 3), padding="same"),
        nn.AvgPool2d(3, padding=1, count_include_pad=False),
        nn.AvgPool2d(2, ceil_mode=True),
        nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
        nn.Upsample(size=(14, 14), mode="nearest"),
        nn.GroupNorm(2, 4),
        nn.AdaptiveAvgPool2d(3),
        nn.Softmax(2),
    ],
)
def test_what_needs_the_whole_map_is_no_step_on_rows(module):
    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = module

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x)

    step, _ = step_of(Holder(), map_of(9).float())
    assert step is None


def test_padding_of_the_kernel_size():
    layer = nn.Conv2d(4, 4, 5, padding="same", dilation=2).double()
    assert_rows_are_the_whole(layer, map_of(13), cuts=[3, 4, 9])
    assert_rows_are_the_whole(nn.Conv2d(4, 2, 3, padding="valid").double(), map_of(13), cuts=[3, 4, 9])


@given(heights, st.integers(0, 4), st.integers(1, 4), st.integers(1, 30), cuts)
def test_slices_and_padding_of_channels(height, first, every, stop, cuts):
    assume(min(stop, height) > first)

    class Shortcut(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x[:, 1:, first:stop:every, ::2]

    class Widened(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.pad(x, (0, 1, 0, 0, 2, 3))

    for module in (Shortcut(), Widened()):
        step, whole = step_of(module, map_of(height))
        assert step is not None
        torch.testing.assert_close(divided(step, (map_of(height),), cuts, whole.shape[2]), whole)


@pytest.mark.parametrize(
    "function", [lambda x, y: nn.functional.pad(x, (0, 0, 1, 1)) + y, lambda x, y: x[1:, :, :, :] + y]
)
def test_what_pads_rows_or_takes_images_is_no_step_on_rows(function):
    graph = fx.symbolic_trace(Function(function))
    node = next(node for node in graph.graph.nodes if node.op == "call_function")
    assert row_step(node, [(2, 4, 9, 7)], (2, 4, 11, 7) if "pad" in node.name else (1, 4, 9, 7)) is None


@pytest.mark.parametrize("place", [0, 1])
def test_what_is_overwritten_is_what_would_be_computed(place):
    class Sum(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return x + y

    inputs = [map_of(5), map_of(5) - 1]
    step, whole = step_of(Sum(), *inputs)
    assert step is not None
    assert list(step.overwritable) == [0, 1]
    given = [each.clone() for each in inputs]
    written = step.overwrite(given, Span(0, 5), place)
    assert written.data_ptr() == given[place].data_ptr()
    assert torch.equal(written, whole)


def test_what_is_broadcast_is_not_overwritten():
    class Sum(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return x + y

    step, _ = step_of(Sum(), map_of(1), map_of(5))
    assert step is not None
    assert list(step.overwritable) == [1]
