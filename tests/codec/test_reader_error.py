"""Errors behind the layers that read a map."""

import pytest
import torch
from torch import nn

from actbench.codec import FeatureMap, reader_error
from actbench.feature_map import CHANNELS_LAST, Reader

READERS = (Reader("conv", "conv", (3, 3)),)
FMAP = FeatureMap("map", 4, 5, 5, "producer", READERS, (), (5, 5))


def test_it_is_the_error_of_the_readers_output_over_its_variance() -> None:
    layer = nn.Conv2d(4, 3, 3, padding=1)
    x, lossy = torch.randn(6, 4, 5, 5), torch.randn(6, 4, 5, 5)
    with torch.no_grad():
        output, other = layer(x).double(), layer(lossy).double()
    variance = output.var((0, 2, 3), correction=0).sum() * 6 * 25
    expected = float((output - other).square().sum() / variance)
    assert reader_error(FMAP, [layer], x, lossy) == pytest.approx(expected, rel=1e-4)


def test_what_no_reader_looks_at_costs_nothing() -> None:
    layer = nn.Conv2d(4, 3, 1)
    with torch.no_grad():
        layer.weight[:, 2] = 0
    x = torch.randn(6, 4, 5, 5)
    lossy = x.clone()
    lossy[:, 2] += 5
    assert reader_error(FMAP, [layer], x, lossy) == 0


def test_an_addition_reads_the_map_as_it_is() -> None:
    x = torch.randn(6, 4, 5, 5)
    lossy = x + 0.1
    variance = x.double().var((0, 2, 3), correction=0).sum() * 6 * 25
    expected = float((lossy - x).double().square().sum() / variance)
    assert reader_error(FMAP, [], x, lossy) == pytest.approx(expected, rel=1e-4)


def test_channels_last_readers_get_channels_last() -> None:
    fmap = FeatureMap("map", 4, 5, 5, "producer", (Reader("linear", "linear"),), (), (5, 5), CHANNELS_LAST)
    x, lossy = torch.randn(6, 4, 5, 5), torch.randn(6, 4, 5, 5)
    linear = nn.Linear(4, 3)
    convolution = nn.Conv2d(4, 3, 1)
    with torch.no_grad():
        convolution.weight.copy_(linear.weight[:, :, None, None])
        convolution.bias.copy_(linear.bias)
    expected = reader_error(FMAP, [convolution], x, lossy)
    assert reader_error(fmap, [linear], x, lossy) == pytest.approx(expected, rel=1e-4)
