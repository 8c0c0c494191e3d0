"""Folded equals unfolded, on everything that stands around a feature map."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from actbench.budget import Bits, Budget, Ceiling
from actbench.calibration import Statistics
from actbench.errors import InvalidCodec
from actbench.method import Folded, PlainCodec
from actbench.network.fold import Pointwise, fold, fold_batch_norm
from actbench.network.splice import Spliced, splice
from actbench.network.trace import TracedNetwork, trace
from actbench_plugins.prochan.method import ProChan

SIZE = (3, 16, 20)


def convolution(channels_in: int, channels: int, kernel: int, **more: Any) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels, kernel, padding=kernel // 2, bias=False, **more), nn.BatchNorm2d(channels)
    )


class Block(nn.Module):
    def __init__(self, branch: nn.Module, skip: nn.Module) -> None:
        super().__init__()
        self.branch, self.skip, self.relu = branch, skip, nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.branch(x) + self.skip(x))


def inverted(channels: int) -> nn.Sequential:
    """MobileNetV2's: depthwise in the middle, no nonlinearity at the end."""
    depthwise = convolution(2 * channels, 2 * channels, 3, groups=2 * channels)
    return nn.Sequential(
        convolution(channels, 2 * channels, 1),
        nn.ReLU6(),
        depthwise,
        nn.ReLU6(),
        convolution(2 * channels, channels, 1),
    )


def stem() -> list[nn.Module]:
    return [convolution(3, 12, 3), nn.ReLU()]


def basic(channels: int, stride: int = 1) -> Block:
    branch = nn.Sequential(convolution(12, channels, 3, stride=stride), nn.ReLU(), convolution(channels, channels, 3))
    return Block(branch, nn.Identity() if stride == 1 else convolution(12, channels, 1, stride=stride))


NETWORKS: dict[str, Callable[[], list[nn.Module]]] = {
    "plain": lambda: [*stem(), convolution(12, 16, 3), nn.ReLU(), convolution(16, 8, 1)],
    "stride": lambda: [*stem(), convolution(12, 16, 3, stride=2), nn.ReLU(), convolution(16, 8, 3, stride=2)],
    "dilation": lambda: [*stem(), nn.Conv2d(12, 16, 3, padding=2, dilation=2), nn.ReLU(), nn.Conv2d(16, 8, 5)],
    "max pooling": lambda: [*stem(), nn.MaxPool2d(3, 2, 1), convolution(12, 16, 3), nn.ReLU(), nn.Conv2d(16, 8, 1)],
    "average pooling": lambda: [*stem(), nn.AvgPool2d(2), nn.Conv2d(12, 8, 3, padding=1)],
    "identity skip": lambda: [*stem(), basic(12), nn.Conv2d(12, 8, 3)],
    "downsampled skip": lambda: [*stem(), basic(16, 2), nn.Conv2d(16, 8, 3)],
    "two skips": lambda: [*stem(), basic(12), basic(12), nn.Conv2d(12, 8, 1)],
    "depthwise": lambda: [*stem(), inverted(12), nn.Conv2d(12, 8, 1)],
    "inverted residual": lambda: [*stem(), nn.Conv2d(12, 12, 1), Linear(inverted(12)), nn.Conv2d(12, 8, 1)],
    "grouped": lambda: [*stem(), convolution(12, 16, 3, groups=4), nn.ReLU(), nn.Conv2d(16, 8, 3)],
}


class Linear(nn.Module):
    """A residual without a nonlinearity behind the addition."""

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


def network(name: str, dtype: torch.dtype) -> TracedNetwork:
    torch.manual_seed(3)
    model = nn.Sequential(*NETWORKS[name]()).to(dtype)
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.normal_(norm.running_mean, std=0.2)
            nn.init.uniform_(norm.running_var, 0.5, 2)
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, std=0.2)
    return trace(model, SIZE)


def compressed(traced: TracedNetwork, dtype: torch.dtype) -> Spliced:
    """ProChan with a third of the channels, and random ends: a fold must not lean on a selection."""
    statistics = Statistics(traced, torch.randn(4, *SIZE, dtype=dtype))
    budget = Budget(Ceiling.parse("traffic:3x"), Bits.parse("w32a32"))
    spliced = splice(traced, ProChan({}).plan(traced, statistics, budget).codecs)
    for codec in spliced.codecs().values():
        for parameter in codec.parameters():
            nn.init.normal_(parameter, std=0.3)
    spliced.module.to(dtype)
    return spliced


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
@pytest.mark.parametrize("name", NETWORKS)
def test_folded_equals_unfolded(name: str, dtype: torch.dtype, tolerance: float) -> None:
    traced = network(name, dtype)
    spliced = compressed(traced, dtype)
    assert len(spliced.codecs()) == len(traced.maps) > 0
    images = torch.randn(3, *SIZE, dtype=dtype)
    with torch.no_grad():
        expected = spliced.module(images)
        fold_batch_norm(spliced.module)
        fold(spliced)
        folded = spliced.module(images)
    assert float((folded - expected).abs().max()) <= tolerance * max(1.0, float(expected.abs().max()))


def explicit(spliced: Spliced) -> int:
    return sum(isinstance(module, Pointwise) for module in spliced.module.modules())


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("plain", 0),
        ("max pooling", 0),
        ("downsampled skip", 0),
        ("identity skip", 1),  # the k×k product of a projection and an expansion
        ("two skips", 2),
        ("depthwise", 2),  # one on either side of the depthwise convolution
    ],
)
def test_only_what_has_no_convolution_stays_explicit(name: str, left: int) -> None:
    spliced = compressed(network(name, torch.float32), torch.float32)
    fold_batch_norm(spliced.module)
    fold(spliced)
    assert explicit(spliced) == left


def test_folding_makes_layers_narrower() -> None:
    traced = network("plain", torch.float32)
    spliced = compressed(traced, torch.float32)
    fold_batch_norm(spliced.module)
    fold(spliced)
    sizes = [(m.in_channels, m.out_channels) for m in spliced.module.modules() if isinstance(m, nn.Conv2d)]
    assert sizes == [(3, 4), (4, 5), (5, 8)]
    assert not any(isinstance(module, nn.BatchNorm2d) for module in spliced.module.modules())


def test_a_convolution_that_is_called_twice_keeps_its_normalisations() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.one, self.two = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.BatchNorm2d(3)

        def forward(self, x: Tensor) -> Tensor:
            return self.two(self.conv(self.one(self.conv(x)).relu()))

    traced = trace(Twice(), SIZE)
    images = torch.randn(2, *SIZE)
    with torch.no_grad():
        expected = traced.module(images)
        fold_batch_norm(traced.module)
        torch.testing.assert_close(traced.module(images), expected)


def test_an_expansion_with_a_bias_is_refused() -> None:
    with pytest.raises(InvalidCodec, match="bias"):
        Folded(PlainCodec(None), expand=nn.Conv2d(2, 4, 1, bias=True))
