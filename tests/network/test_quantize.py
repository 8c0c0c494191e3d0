"""Weights: codes in range, a symmetric step for each channel, and the ends of the network at 8 bits or more."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from actbench.codec import Payload, PlainCodec, UniformQuantizer
from actbench.network.deploy import deploy
from actbench.network.quantize import fold_parametrisations, quantize_weights, quantized, weight_widths, weights
from actbench.network.splice import splice
from actbench.network.trace import trace


def step(row: Tensor) -> float:
    """The step of a quantised channel, from the values that it takes."""
    values = row.double().abs().unique()
    return float(values[values > 1e-9].diff(prepend=torch.zeros(1, dtype=torch.float64)).min())


@pytest.mark.parametrize("width", [2, 4, 8])
@pytest.mark.parametrize("shape", [(6, 5, 3, 3), (40, 300)])
def test_weights_are_few_multiples_of_a_step(width: int, shape: tuple[int, ...]) -> None:
    weight = torch.randn(*shape) * torch.logspace(-3, 2, shape[0]).reshape(-1, *[1] * (len(shape) - 1))
    top = 2 ** (width - 1) - 1
    for row, original in zip(quantized(weight, width).flatten(1), weight.flatten(1), strict=True):
        assert len(row.unique()) <= 2 * top + 1
        assert float(row.abs().max()) <= float(original.abs().max()) * (1 + 1e-6)
        if width < 8:
            codes = row.double() / step(row)
            torch.testing.assert_close(codes, codes.round(), rtol=0, atol=1e-4)
            assert codes.abs().max() <= top + 1e-4


@pytest.mark.parametrize("width", [2, 3, 4, 8])
def test_the_clip_beats_the_largest_magnitude(width: int) -> None:
    weight = torch.randn(16, 200).pow(3)
    step = weight.abs().amax(1, keepdim=True) / (2 ** (width - 1) - 1)
    plain = ((weight / step).round() * step - weight).square().sum(1)
    error = (quantized(weight, width) - weight).square().sum(1)
    assert (error <= plain * (1 + 1e-5)).all()
    assert float(error.sum()) < float(plain.sum()) or width == 8


def test_signs_change_nothing_but_signs() -> None:
    weight = torch.randn(4, 50)
    assert torch.equal(quantized(-weight, 3), -quantized(weight, 3))


def test_a_channel_of_zeros_stays() -> None:
    assert torch.equal(quantized(torch.zeros(2, 9), 4), torch.zeros(2, 9))


def test_channels_do_not_share_a_scale() -> None:
    weight = torch.randn(3, 40)
    scaled = weight * torch.tensor([[1.0], [1e-4], [1e4]])
    torch.testing.assert_close(quantized(scaled, 4)[0], quantized(weight, 4)[0])


class Backwards(nn.Module):
    """Layers that are called in another order than they are defined in."""

    def __init__(self) -> None:
        super().__init__()
        self.last, self.middle, self.first = nn.Linear(4, 2), nn.Conv2d(4, 4, 3), nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.middle(self.first(x)).mean((2, 3)))


def test_the_ends_are_the_layers_that_are_called_first_and_last() -> None:
    module = trace(Backwards(), (3, 8, 8)).module
    assert list(weights(module)) == ["first", "middle", "last"]
    assert weight_widths(module, 4) == {"first": 8, "middle": 4, "last": 8}
    assert weight_widths(module, 16) == {"first": 16, "middle": 16, "last": 16}
    expected = {name: quantized(each.tensor.data, 4 if name == "middle" else 8)
                for name, each in weights(module).items()}  # fmt: skip
    quantize_weights(module, 4)
    for name, each in weights(module).items():
        assert torch.equal(each.tensor, expected[name])


def test_32_bits_change_nothing(residual: Callable[..., nn.Module]) -> None:
    network = residual(bias=True)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    quantize_weights(network, 32)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    quantize_weights(network, 4)
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {f"{name}.weight" for name in weights(network)}


class Every(nn.Module):
    """A convolution of each kind between two ordinary ones."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(4, 2, 1)
        self.normed = weight_norm(nn.Conv2d(6, 6, 3, padding=1))
        self.up = nn.ConvTranspose2d(6, 8, 2, 2, groups=2)
        self.kernel = nn.Parameter(torch.randn(8, 4, 3, 3))
        self.spread = nn.Parameter(torch.randn(8, 2, 2, 2))

    def forward(self, x: Tensor) -> Tensor:
        x = self.up(self.normed(self.first(x)).relu()).relu()
        x = F.conv2d(x, self.kernel, padding=1, groups=2).relu()
        return self.last(F.conv_transpose2d(x, self.spread, stride=2, groups=2).relu())


def levels(rows: Tensor) -> int:
    return max(len(row.unique()) for row in rows.flatten(1))


def test_convolutions_of_every_kind_are_quantised_by_output_channel() -> None:
    """Seven values a channel at 3 bits. Output channels of a transposed convolution are its second dimension."""
    model = Every()
    model.up.weight.data *= torch.logspace(-3, 2, 4).reshape(1, 4, 1, 1)
    deployed = deploy(splice(trace(model, (3, 8, 8)), {}), 3).module
    found = {name: each.tensor.detach() for name, each in weights(deployed).items()}
    assert list(found) == ["first", "normed", "up", "conv2d", "conv_transpose2d", "last"]
    assert levels(found["normed"]) <= 7 < levels(model.normed.weight)
    assert levels(found["conv2d"]) <= 7 < levels(model.kernel)
    for name, original in (("up", model.up.weight), ("conv_transpose2d", model.spread)):
        for part, before in zip(found[name].chunk(2), original.detach().chunk(2), strict=True):
            assert levels(part.transpose(0, 1)) <= 7
            torch.testing.assert_close(part.transpose(0, 1), quantized(before.transpose(0, 1), 3))


def test_what_a_parametrised_layer_computes_stays_the_same() -> None:
    model, x = Every().eval(), torch.randn(2, 3, 8, 8)
    expected = model(x)
    fold_parametrisations(model)
    assert type(model.normed) is nn.Conv2d
    torch.testing.assert_close(model(x), expected)


class Expanded(PlainCodec):
    """A convolution in a codec, behind the codes."""

    def __init__(self, channels: int) -> None:
        super().__init__(UniformQuantizer(8, -4, 4))
        self.expand = nn.Conv2d(channels, channels, 1)

    def decode(self, payload: Payload) -> Tensor:
        return self.expand(super().decode(payload))


def test_convolutions_in_codecs_are_quantised_and_are_no_ends() -> None:
    layers = [nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 6, 3), nn.ReLU(), nn.Conv2d(6, 2, 1)]
    network = trace(nn.Sequential(*layers), (3, 8, 8))
    deployed = deploy(splice(network, {fmap.name: Expanded(6) for fmap in network.maps}), 2)
    inside = {name: each for name, each in weights(deployed.module).items() if each.in_codec}
    assert len(inside) == 2
    assert all(levels(each.tensor) == 3 for each in inside.values())
    widths = weight_widths(deployed.module, 2)
    assert [name for name, width in widths.items() if width == 8] == ["0", "4"]
