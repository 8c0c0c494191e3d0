"""Maximum pooling that saves places in windows, beside torch's."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from actbench.training.ledger import saved_bytes
from actbench.training.pooling import IndexedMaxPool


@given(
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.integers(1, 3),
    st.integers(1, 2),
    st.booleans(),
    st.booleans(),
    st.tuples(st.integers(9, 13), st.integers(9, 13)),
)
def test_values_and_gradients_are_torchs(
    kernel: tuple[int, int], stride: int, dilation: int, padded: bool, ceil_mode: bool, size: tuple[int, int]
) -> None:
    padding = (kernel[0] // 2, kernel[1] // 2) if padded else 0
    pool = nn.MaxPool2d(kernel, stride, padding, dilation, ceil_mode=ceil_mode)
    x = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    other = x.detach().clone().requires_grad_()
    expected, pooled = pool(x), IndexedMaxPool(pool)(other)
    assert torch.equal(pooled, expected)
    weights = torch.randn_like(expected)
    (expected * weights).sum().backward()
    (pooled * weights).sum().backward()
    assert x.grad is not None
    assert other.grad is not None
    torch.testing.assert_close(other.grad, x.grad)


def test_it_saves_four_bits_a_value_of_a_window_of_nine() -> None:
    pool = IndexedMaxPool(nn.MaxPool2d(3, 2, 1))
    x = torch.randn(4, 8, 16, 16, requires_grad=True)
    with saved_bytes(pool) as ledger:
        pooled = pool(x)
        assert ledger.bytes == pooled.numel() // 2


@pytest.mark.parametrize("layer", [nn.MaxPool2d(2, return_indices=True), nn.MaxPool2d(17), nn.AvgPool2d(2)])
def test_what_it_does_not_stand_in_for(layer: nn.Module) -> None:
    assert not IndexedMaxPool.stands_in_for(layer)
    assert IndexedMaxPool.stands_in_for(copy.deepcopy(nn.MaxPool2d(16)))
