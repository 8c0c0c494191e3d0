"""Weights: codes in range, a symmetric step for each channel, and the ends of the network at 8 bits or more."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from actbench.network.quantize import quantize_weights, quantized, weight_layers, weight_widths
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
    assert list(weight_layers(module)) == ["first", "middle", "last"]
    assert weight_widths(module, 4) == {"first": 8, "middle": 4, "last": 8}
    assert weight_widths(module, 16) == {"first": 16, "middle": 16, "last": 16}
    expected = {name: quantized(layer.weight.data, 4 if name == "middle" else 8)
                for name, layer in weight_layers(module).items()}  # fmt: skip
    quantize_weights(module, 4)
    for name, layer in weight_layers(module).items():
        assert torch.equal(layer.weight, expected[name])


def test_32_bits_change_nothing(residual: Callable[..., nn.Module]) -> None:
    network = residual(bias=True)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    quantize_weights(network, 32)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    quantize_weights(network, 4)
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {f"{name}.weight" for name in weight_layers(network)}
