"""Folded equals unfolded, on everything that stands around a feature map."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from actbench.codec import Codec, Folded, Payload, PlainCodec, floating
from actbench.errors import InvalidCodec
from actbench.feature_map import FeatureMap
from actbench.measure.compute import count
from actbench.network.fold import Pointwise, fold, fold_batch_norm
from actbench.network.splice import Spliced, splice
from actbench.network.trace import TracedNetwork, trace
from actbench_plugins.prochan.codec import ProChanCodec

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


def randomized(model: nn.Module) -> nn.Module:
    """Normalisations that do something."""
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.normal_(norm.running_mean, std=0.2)
            nn.init.uniform_(norm.running_var, 0.5, 2)
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, std=0.2)
    return model


def network(name: str, dtype: torch.dtype) -> TracedNetwork:
    torch.manual_seed(3)
    model = randomized(nn.Sequential(*NETWORKS[name]())).to(dtype)
    return trace(model, SIZE)


def compressed(traced: TracedNetwork, dtype: torch.dtype) -> Spliced:
    """ProChan's codecs with a third of the channels, and random ends: a fold must not lean on a selection."""
    codecs = {}
    for fmap in traced.maps:
        rank = fmap.channels // 3
        codecs[fmap.name] = ProChanCodec(fmap, torch.empty(rank, fmap.channels), torch.empty(fmap.channels, rank), None)
        for parameter in codecs[fmap.name].parameters():
            nn.init.normal_(parameter, std=0.3)
    spliced = splice(traced, codecs)
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
        ("downsampled skip", 1),  # the branch that waits for it: expanded, and projected with the sum
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


def test_a_normalisation_is_folded_only_where_nothing_else_reads_the_convolution() -> None:
    class Peeking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm, self.last = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x)
            return self.last(self.norm(y).relu()) + y

    model = Peeking()
    nn.init.uniform_(model.norm.weight, 2, 3)
    traced, images = trace(model, SIZE), torch.randn(2, *SIZE)
    with torch.no_grad():
        expected = traced.module(images)
        fold_batch_norm(traced.module)
        torch.testing.assert_close(traced.module(images), expected)
    assert any(isinstance(module, nn.BatchNorm2d) for module in traced.module.modules())


def fold_all(model: nn.Module, codec: Callable[[FeatureMap], Codec]) -> tuple[Spliced, float]:
    """A network whose maps are all compressed, folded, and the largest deviation from the unfolded outputs."""
    traced = trace(model.double(), SIZE)
    spliced = splice(traced, {fmap.name: codec(fmap) for fmap in traced.maps})
    spliced.module.double()
    images = torch.randn(2, *SIZE, dtype=torch.float64)
    with torch.no_grad():
        expected = spliced.module(images)
        fold_batch_norm(spliced.module)
        fold(spliced)
        deviation = float((spliced.module(images) - expected).abs().max() / expected.abs().max().clamp_min(1))
    return spliced, deviation


def bottleneck(fmap: FeatureMap, rank: int) -> ProChanCodec:
    codec = ProChanCodec(fmap, torch.randn(rank, fmap.channels), torch.randn(fmap.channels, rank) / rank, None)
    nn.init.normal_(codec.project.bias)
    return codec


class Shifted(nn.Module):
    """A learned scalar, added where others add a skip (Fixup)."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.conv, self.last = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 3)
        self.shift = nn.Parameter(torch.randn(shape))

    def forward(self, x: Tensor) -> Tensor:
        return self.last((self.conv(x) + self.shift).relu())


@pytest.mark.parametrize("shape", [(1,), (), (8, 1, 1), (1, 1, 14, 18)])
def test_adding_a_parameter_is_not_adding_a_branch(shape: tuple[int, ...]) -> None:
    assert fold_all(Shifted(shape), lambda fmap: bottleneck(fmap, 3))[1] < 1e-10


class Inactive(Block):
    """Without a nonlinearity behind the addition."""

    def forward(self, x: Tensor) -> Tensor:
        return self.skip(x) + self.branch(x)


@st.composite
def residual_networks(draw: st.DrawFn) -> nn.Module:
    channels, layers = 12, stem()
    for _ in range(draw(st.integers(1, 3))):
        stride, bias = draw(st.sampled_from([1, 2])), draw(st.booleans())
        out = channels if stride == 1 else channels + 4
        branch: list[nn.Module] = []
        if draw(st.booleans()):
            branch += [convolution(channels, channels, 1), nn.ReLU()]
        branch += [nn.Conv2d(channels, out, 3, stride, 1, bias=bias)]
        if draw(st.booleans()):
            branch += [
                nn.BatchNorm2d(out),
                nn.ReLU6(),
                convolution(out, out, 3, groups=draw(st.sampled_from([1, out]))),
            ]
        skip = convolution(channels, out, 1, stride=stride) if stride == 2 or draw(st.booleans()) else nn.Identity()
        kind = draw(st.sampled_from([Block, Inactive]))
        layers.append(kind(nn.Sequential(*branch), skip))
        if draw(st.booleans()):
            layers.append(nn.MaxPool2d(3, 2, 1))
        channels = out
    return randomized(nn.Sequential(*layers, nn.Conv2d(channels, 4, 1)))


@settings(max_examples=15, deadline=None, derandomize=True)
@given(residual_networks(), st.floats(0.1, 1))
def test_any_residual_network_folds_exactly(model: nn.Module, part: float) -> None:
    unfolded = [module.kernel_size for module in model.modules() if isinstance(module, nn.Conv2d)]
    spliced, deviation = fold_all(model, lambda fmap: bottleneck(fmap, max(1, int(part * fmap.channels))))
    assert deviation < 1e-10
    kept = [m for m in spliced.module.modules() if isinstance(m, nn.Conv2d) and not isinstance(m, Pointwise)]
    assert len(kept) == len(unfolded)


def test_compute_shrinks_by_the_kept_share_on_either_side() -> None:
    """k of c channels: (k/c)² inside, k/c at the ends, and a k×k product for the identity skip."""
    model = nn.Sequential(convolution(3, 12, 3), nn.ReLU(), basic(12), nn.Conv2d(12, 8, 3, padding=1))
    spliced, _ = fold_all(model, lambda fmap: bottleneck(fmap, 3))
    counts = count(spliced.module, torch.zeros(1, *SIZE, dtype=torch.float64))
    pixels = SIZE[1] * SIZE[2]
    assert sorted(counts.macs.values()) == sorted(
        pixels * m for m in (3 * 3 * 9, 3 * 3 * 9, 3 * 3 * 9, 3 * 3, 3 * 8 * 9)
    )
    weights = sum(m.weight.numel() for m in spliced.module.modules() if isinstance(m, nn.Conv2d))
    assert weights * pixels == counts.total


class Before(Codec):
    """Linear ends on the other side of the nonlinearity."""

    side = "before"

    def __init__(self, fmap: FeatureMap, rank: int) -> None:
        super().__init__()
        self.project, self.expand = nn.Conv2d(fmap.channels, rank, 1), nn.Conv2d(rank, fmap.channels, 1, bias=False)

    def encode(self, x: Tensor) -> Payload:
        return Payload(values=floating(self.project(x)))

    def decode(self, payload: Payload) -> Tensor:
        return self.expand(payload["values"])

    def fold(self) -> Folded:
        return Folded(StoredBefore(), self.project, self.expand)


class StoredBefore(PlainCodec):
    side = "before"

    def __init__(self) -> None:
        super().__init__(None)


def test_before_the_nonlinearity_only_the_projection_folds_and_without_one_both_ends() -> None:
    model = nn.Sequential(convolution(3, 12, 3), nn.ReLU(), convolution(12, 8, 1), nn.Conv2d(8, 4, 3, padding=1))
    spliced, deviation = fold_all(randomized(model), lambda fmap: Before(fmap, 3))
    assert deviation < 1e-10
    layers = [(m.in_channels, m.out_channels) for m in spliced.module.modules() if isinstance(m, nn.Conv2d)]
    assert sorted(layers) == [(3, 3), (3, 4), (3, 12), (12, 3)]
    assert explicit(spliced) == 1
