"""Ways of tracing: the same maps in the same network, the same outputs and gradients, and honest refusals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from actbench.codec import Codec, PlainCodec
from actbench.errors import UserError
from actbench.network.conventions import live_peak
from actbench.network.deploy import deploy
from actbench.network.splice import splice
from actbench.network.trace import TracedNetwork, trace
from actbench.network.ways import TOLERANCE, Way, difference
from tests.network.features import BY_NAME
from tests.network.kinds import KINDS, SIZE, Net

WAYS: tuple[Way, ...] = ("fx", "export")


def described(network: TracedNetwork) -> list[Any]:
    return [
        (
            *(fmap.name, fmap.channels, fmap.height, fmap.width, fmap.producer, fmap.source, fmap.layout),
            [(reader.name, reader.kernel, reader.stride, reader.groups) for reader in fmap.readers],
            [step.name for step in fmap.between],
        )
        for fmap in network.maps
    ]


def untouched(network: TracedNetwork) -> nn.Module:
    """The network with codecs in place that change nothing."""
    codecs: Mapping[str, Codec] = {fmap.name: PlainCodec(None) for fmap in network.maps}
    return splice(network, codecs).module


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("maps", ["live", "conv-inputs"])
def test_each_way_finds_the_same_maps(kind: type[Net], maps: Any) -> None:
    fx, export = (trace(kind(), SIZE, maps, ways=[way]) for way in WAYS)
    assert (fx.way, export.way) == WAYS
    assert described(fx) == described(export)
    assert [(one.bits, one.written, one.read) for one in fx.held] == [
        (one.bits, one.written, one.read) for one in export.held
    ]
    assert [fmap.bits for fmap in fx.activations] == [fmap.bits for fmap in export.activations]


def test_each_way_keeps_the_names_of_parameters(residual: Callable[..., nn.Module]) -> None:
    model = residual()
    for way in WAYS:
        found, expected = trace(model, SIZE, ways=[way]).module.state_dict(), model.state_dict()
        assert set(found) == set(expected)
        assert all(torch.equal(found[name], value) for name, value in expected.items())


STEPS = ("convolution", "functional", "transposed", "norm", "relu", "pool", "skip", "concat", "assign", "gate", "split")


class Program(nn.Module):
    """Steps one after the other, on images 3×8×8; `by_shape` keeps symbolic tracing from following it."""

    def __init__(self, steps: list[str], *, by_shape: bool) -> None:
        super().__init__()
        self.steps, self.by_shape = steps, by_shape
        self.stem, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 2, 1)
        self.convolutions = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1) for _ in steps)
        self.up = nn.ModuleList(nn.ConvTranspose2d(4, 4, 3, padding=1) for _ in steps)
        self.norms = nn.ModuleList(nn.BatchNorm2d(4) for _ in steps)
        self.kernels = nn.ParameterList(nn.Parameter(torch.randn(4, 4, 1, 1)) for _ in steps)
        self.joins = nn.ModuleList(nn.Conv2d(8, 4, 1) for _ in steps)

    def forward(self, x: Tensor) -> Tensor:
        first = x = self.stem(x)
        for index, step in enumerate(self.steps):
            if self.by_shape and x.shape[1] % 4 != 0:
                raise ValueError("four channels")
            x = self._step(step, index, x, first)
        return self.head(x)

    def _step(self, step: str, index: int, x: Tensor, first: Tensor) -> Tensor:
        if step == "convolution":
            return self.convolutions[index](x)
        if step == "functional":
            return F.conv2d(x, self.kernels[index])
        if step == "transposed":
            return self.up[index](x)
        if step == "norm":
            return self.norms[index](x)
        if step == "relu":
            return F.relu(x, inplace=True)
        if step == "pool":
            return F.interpolate(F.max_pool2d(x, 2), scale_factor=2)
        if step == "skip":
            x = x.clone()
            x += first
            return x
        if step == "concat":
            return self.joins[index](torch.cat([x, first], 1))
        if step == "gate":
            return x * torch.sigmoid(x.mean((2, 3), keepdim=True))
        if step == "split":
            left, right = x.chunk(2, 1)
            return torch.cat([right.tanh(), left], 1)
        if self.by_shape:  # which symbolic tracing refuses
            x = x.clone()
            x[:, 1:3, ::2] = 0.5 * x[:, 1:3, ::2]
        return x


def gradients(module: nn.Module, images: Tensor) -> dict[str, Tensor]:
    module.zero_grad()
    module(images.clone()).square().sum().backward()
    return {name: each.grad for name, each in module.named_parameters() if each.grad is not None}


@settings(max_examples=12)
@given(st.lists(st.sampled_from(STEPS), min_size=1, max_size=6), st.booleans())
def test_outputs_and_gradients_of_any_program_are_the_models(steps: list[str], by_shape: bool) -> None:
    torch.manual_seed(0)
    model, images = Program(steps, by_shape=by_shape).eval(), torch.randn(3, 3, 8, 8)
    network = trace(model, (3, 8, 8))
    assert network.way == ("export" if by_shape else "fx")
    spliced = untouched(network)
    assert torch.equal(spliced(images.clone()), model(images.clone()))
    found, expected = gradients(spliced, images), gradients(model, images)
    assert set(found) <= {*expected, *found}
    assert sum(map(torch.numel, found.values())) == sum(map(torch.numel, expected.values()))
    assert all(torch.equal(found[name], value) for name, value in expected.items() if name in found)


class Held(nn.Module):
    """A gate that no gradient goes through: a tensor is detached, and another computed where there are none."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] != 3:
            raise ValueError("three channels")
        x = self.first(x).relu()
        with torch.no_grad():
            scale = x.mean((2, 3), keepdim=True).sigmoid()
        return self.last(x * scale + x.detach())


def test_gradients_stop_where_the_model_lets_none_through() -> None:
    model, images = Held().eval(), torch.rand(2, 3, 8, 8)
    found, expected = (gradients(one, images) for one in (untouched(trace(model, (3, 8, 8))), model))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


REFUSED = {"flow by value": r"features\.py:\d+: if x\.mean\(\) > 0", "random": "other outputs"}
BY_EXPORT = (
    "item assignment",
    "write through a view",
    "flow by shape",
    "multi-head attention",
)


@pytest.mark.parametrize("name", sorted(set(BY_NAME) - set(REFUSED)))
def test_every_feature_is_followed_exactly(name: str) -> None:
    model, shape, others = BY_NAME[name]()
    network = trace(model, shape, others=others)
    assert network.way == ("export" if name in BY_EXPORT else "fx")
    images = [torch.rand(3, *each) for each in (shape, *others)]
    spliced, expected = untouched(network), model.float().eval()(*(each.clone() for each in images))
    assert difference(expected, spliced(*(each.clone() for each in images))) <= TOLERANCE
    codecs: dict[str, Codec] = {fmap.name: PlainCodec(None) for fmap in network.maps}
    assert difference(expected, deploy(splice(network, codecs), 32).module(*images)) <= 10 * TOLERANCE


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_way_follows_is_refused_in_one_line(name: str) -> None:
    model, shape, _ = BY_NAME[name]()
    with pytest.raises(UserError, match=REFUSED[name]) as caught:
        trace(model, shape)
    assert "\n" not in str(caught.value)
    assert "torch.fx" in str(caught.value)
    assert "torch.export" in str(caught.value)


class Faint(nn.Module):
    """Outputs of 1e-6, a third of which depends on a number that is drawn again in every call."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return 1e-6 * (self.conv(x) + torch.rand(1))


def test_outputs_are_compared_by_their_own_size() -> None:
    with pytest.raises(UserError, match="other outputs"):
        trace(Faint(), (3, 8, 8))
    assert difference(torch.tensor([1e-6]), torch.tensor([1.36e-6])) == pytest.approx(0.36, rel=1e-3)


def test_difference_by_hand() -> None:
    one, other = torch.tensor([1.0, -4.0]), torch.tensor([1.5, -4.0])
    assert difference(one, other) == 0.125
    assert difference({"a": one, "b": [one]}, {"a": one, "b": [other]}) == 0.125
    assert difference(torch.zeros(2), torch.zeros(2)) == 0
    assert difference(torch.zeros(2), one) == float("inf")
    assert difference(torch.tensor([1.0, float("nan")]), torch.tensor([1.0, float("nan")])) == 0
    assert difference(torch.tensor([1.0, float("inf")]), torch.tensor([1.0, 2.0])) == float("inf")
    assert difference(one, [one, one]) == float("inf")
    assert difference(one, one[None]) == float("inf")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_networks_of_another_width_are_measured_in_fp32_and_say_so(
    dtype: torch.dtype, residual: Callable[..., nn.Module]
) -> None:
    network = trace(residual().to(dtype), SIZE)
    assert {each.dtype for each in network.module.parameters()} == {torch.float32}
    assert any(str(dtype).removeprefix("torch.") in note for note in network.notes)
    assert network.module(torch.rand(2, *SIZE)).dtype == torch.float32
    assert live_peak(network, {}) == live_peak(trace(residual(), SIZE), {})
