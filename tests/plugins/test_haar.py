"""The Haar transform against PyWavelets, its definition, and the properties of an orthogonal matrix."""

import pytest
import pywt
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from actbench_plugins.wcc import haar

sides = st.integers(1, 40)


@pytest.mark.parametrize("mode", ["symmetric", "periodization"])
@pytest.mark.parametrize(("height", "width", "levels"), [(16, 24, 3), (8, 8, 1), (4, 32, 2), (2, 2, 1), (32, 16, 4)])
def test_equals_pywavelets(height: int, width: int, levels: int, mode: str) -> None:
    x = torch.randn(2, 3, height, width, dtype=torch.float64)
    low, *details = pywt.wavedec2(x.numpy(), "haar", mode=mode, level=levels)
    plane = haar.forward(x, levels).reshape(x.shape)
    for expected in reversed(details):
        squares = plane.unfold(2, 2, 2).unfold(3, 2, 2).flatten(4).unbind(4)
        vertical, plane, diagonal, horizontal = squares
        for band, wanted in zip((horizontal, vertical, diagonal), expected, strict=True):
            torch.testing.assert_close(band, torch.from_numpy(wanted), rtol=0, atol=1e-12)
    torch.testing.assert_close(plane, torch.from_numpy(low), rtol=0, atol=1e-12)


def test_one_square_by_hand() -> None:
    square = torch.tensor([[7.0, 1.0], [3.0, 5.0]])[None, None]
    assert haar.forward(square, 1).flatten().tolist() == [2, 8, 4, 0]  # vertical, low, diagonal, horizontal


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6), st.integers(1, 5), st.data())
def test_rows_transform_as_they_do_in_the_whole_map(
    levels: int, stripes: int, across: int, channels: int, data: st.DataObject
) -> None:
    x = torch.randn(2, channels, stripes << levels, across << levels)
    first = data.draw(st.integers(0, stripes)) << levels
    whole, width = haar.forward(x, levels), x.shape[3]
    parts = [haar.forward(part, levels) for part in (x[:, :, :first], x[:, :, first:])]
    assert torch.equal(torch.cat(parts, 2), whole)
    restored = [haar.inverse(part, width, levels) for part in parts]
    assert torch.equal(torch.cat(restored, 2), haar.inverse(whole, width, levels))


def test_large_maps_are_transformed_in_blocks() -> None:
    x = torch.randn(3, 5, 256, 160)  # 614400 values, in blocks of no whole number of planes
    y = haar.forward(x, 3)
    assert torch.equal(y[1:2, 2:3], haar.forward(x[1:2, 2:3], 3))
    torch.testing.assert_close(haar.inverse(y, 160, 3), x)


@pytest.mark.parametrize(("height", "width", "levels"), [(8, 8, 3), (16, 8, 2), (4, 12, 1), (3, 5, 0)])
def test_the_coarsest_come_first(height: int, width: int, levels: int) -> None:
    """A coefficient of level l reaches as far as 4^l values: its column of the inverse says so."""
    positions = height * width
    basis = torch.eye(positions)[:, None]
    reach = (haar.inverse(basis, width, levels) != 0).flatten(1).sum(1)
    order = haar.coarsest_first(height, width, levels)
    assert sorted(order.tolist()) == list(range(positions))
    assert reach[order].tolist() == sorted(reach.tolist(), reverse=True)
    sums = haar.inverse(basis, width, levels).flatten(1).sum(1)[order]
    assert (sums != 0).tolist() == [place < positions >> (2 * levels) for place in range(positions)]  # low ones alone


@settings(max_examples=60, deadline=None)
@given(sides, sides, st.integers(0, 5))
def test_restores_any_map_and_keeps_its_energy(height: int, width: int, levels: int) -> None:
    levels = haar.usable_levels(height, width, levels)
    x = torch.randn(2, 2, height, width, dtype=torch.float64)
    padded = haar.pad(x, levels)
    y = haar.forward(padded, levels)
    assert y.shape == (2, 2, padded.shape[2] * padded.shape[3])
    torch.testing.assert_close(y.square().sum(), padded.square().sum())
    torch.testing.assert_close(haar.inverse(y, padded.shape[3], levels)[:, :, :height, :width], x)


def test_is_an_orthogonal_matrix() -> None:
    basis = torch.eye(64, dtype=torch.float64).reshape(64, 1, 8, 8)
    matrix = haar.forward(basis, 3)[:, 0]
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(64, dtype=torch.float64))


@pytest.mark.parametrize("transform", ["forward", "inverse"])
def test_gradients_are_those_of_the_transpose(transform: str) -> None:
    generator = torch.Generator().manual_seed(0)
    plane = torch.randn(1, 2, 8, 4, dtype=torch.float64, generator=generator, requires_grad=True)
    flat = torch.randn(1, 2, 32, dtype=torch.float64, generator=generator, requires_grad=True)
    if transform == "forward":
        (gradient,) = torch.autograd.grad(haar.forward(plane, 2), plane, flat)
        torch.testing.assert_close(gradient, haar.inverse(flat, 4, 2))
    else:
        (gradient,) = torch.autograd.grad(haar.inverse(flat, 4, 2), flat, plane)
        torch.testing.assert_close(gradient, haar.forward(plane, 2))


def test_a_constant_is_in_the_coarsest_band_alone() -> None:
    y = haar.forward(torch.full((1, 1, 16, 8), 3.0), 3)[0, 0, haar.coarsest_first(16, 8, 3)]
    assert y[:2].tolist() == [24, 24]  # 3·2^levels
    assert not y[2:].any()


@given(sides, sides, st.integers(0, 8))
def test_levels_never_reach_past_the_smaller_side(height: int, width: int, levels: int) -> None:
    usable, smaller = haar.usable_levels(height, width, levels), min(height, width)
    assert usable <= levels
    assert usable == 0 or 1 << (usable - 1) < smaller  # one level less would not bring it to one value
    assert usable == levels or 1 << usable >= smaller


def test_padding_repeats_rows_below_and_columns_at_the_right() -> None:
    padded = haar.pad(torch.arange(6.0).reshape(1, 1, 3, 2), 2)
    assert padded.shape == (1, 1, 4, 4)
    assert padded[0, 0].tolist() == [[0, 1, 1, 1], [2, 3, 3, 3], [4, 5, 5, 5], [4, 5, 5, 5]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_keeps_the_type(dtype: torch.dtype) -> None:
    y = haar.forward(torch.ones(1, 1, 4, 4, dtype=dtype), 2)
    assert y.dtype == dtype
    assert haar.inverse(y, 4, 2).dtype == dtype
