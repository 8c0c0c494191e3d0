"""Compressed layers against torch's own: exact where nothing is lost, and otherwise the reconstruction's gradient."""

import copy
import itertools

import pytest
import torch
from torch import Tensor, nn

from actbench.codec import Codec, Payload, PlainCodec, floating
from actbench.training.layers import CompressedConv2d, CompressedLinear, SavedInput
from actbench_plugins.hosvd.coding import Codes
from actbench_plugins.hosvd.training import SavedDecomposition

GRID = [
    {"kernel_size": kernel, "stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    for kernel, stride, padding, dilation, groups in itertools.product(
        [1, 3, (3, 2)], [1, 2, (1, 2)], [0, 1, (2, 1)], [1, 2], [1, 2, 6]
    )
]
OTHERS = [
    {"kernel_size": 3, "padding": "same"},
    {"kernel_size": (2, 4), "padding": "same", "dilation": 2},
    {"kernel_size": 3, "padding": "valid"},
    {"kernel_size": 3, "padding": 1, "padding_mode": "circular"},
    {"kernel_size": 3, "padding": 2, "padding_mode": "reflect", "stride": 2},
]


class Coarse(Codec):
    """Loses what is below a quarter, and knows no gradient of its own."""

    def encode(self, x: Tensor) -> Payload:
        return Payload(values=floating((4 * x).round() / 4))

    def decode(self, payload: Payload) -> Tensor:
        return payload["values"]


def smooth(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(*shape, generator=generator)
    return (noise.cumsum(-1).cumsum(0) + 0.1 * torch.randn(*shape, generator=generator)) / 4


def gradients(layer: nn.Module, x: Tensor) -> list[Tensor]:
    """Of the input, and of the layer's parameters."""
    x = x.detach().requires_grad_()
    y = layer(x)
    y.backward(torch.randn(y.shape, generator=torch.Generator().manual_seed(2), dtype=y.dtype))
    return [x.grad, *(p.grad for p in layer.parameters())]


@pytest.mark.parametrize("settings", [*GRID, *OTHERS], ids=str)
def test_without_loss_training_is_bit_exact(settings: dict[str, object]) -> None:
    plain = nn.Conv2d(6, 12, **settings)
    compressed = CompressedConv2d(copy.deepcopy(plain), SavedInput(PlainCodec(None)))
    for gradient, expected in zip(
        gradients(compressed, smooth(4, 6, 9, 11)), gradients(plain, smooth(4, 6, 9, 11)), strict=True
    ):
        assert torch.equal(gradient, expected)


@pytest.mark.parametrize(
    "codec",
    [Coarse(), SavedDecomposition(0.9), SavedDecomposition(most=60 * 32), SavedDecomposition(0.9, coding=Codes(8))],
    ids=["coarse", "by share", "by bits", "in codes"],
)
@pytest.mark.parametrize("settings", [*GRID, *OTHERS], ids=str)
def test_the_weights_gradient_is_the_reconstructions(settings: dict[str, object], codec: Codec) -> None:
    layer, x = nn.Conv2d(6, 12, **settings), smooth(4, 6, 9, 11)
    decoded = codec(x)
    assert not torch.allclose(decoded, x, atol=1e-3)
    of_input, of_weight, of_bias = gradients(CompressedConv2d(copy.deepcopy(layer), SavedInput(codec)), x)
    exact_input, _, exact_bias = gradients(copy.deepcopy(layer), x)
    _, expected, _ = gradients(layer, decoded)
    torch.testing.assert_close(of_input, exact_input)
    torch.testing.assert_close(of_bias, exact_bias)
    assert (of_weight - expected).norm() <= 1e-5 * expected.norm()


@pytest.mark.parametrize("shape", [(7, 10), (3, 8, 10), (3, 4, 5, 10)], ids=str)
@pytest.mark.parametrize("codec", [Coarse(), SavedDecomposition(0.9)], ids=lambda codec: type(codec).__name__)
def test_linear_layers(shape: tuple[int, ...], codec: Codec) -> None:
    layer, x = nn.Linear(10, 6), smooth(*shape)
    of_input, of_weight, of_bias = gradients(CompressedLinear(copy.deepcopy(layer), SavedInput(codec)), x)
    exact_input, _, exact_bias = gradients(copy.deepcopy(layer), x)
    _, expected, _ = gradients(layer, codec(x))
    torch.testing.assert_close(of_input, exact_input)
    torch.testing.assert_close(of_bias, exact_bias)
    assert (of_weight - expected).norm() <= 1e-5 * expected.norm()


def test_a_frozen_weight_saves_nothing() -> None:
    layer = nn.Conv2d(6, 12, 3).requires_grad_(False)
    y = CompressedConv2d(layer, SavedInput(SavedDecomposition(0.9)))(smooth(4, 6, 9, 11).requires_grad_())
    assert [tuple(t.shape) for t in y.grad_fn.saved_tensors] == [tuple(layer.weight.shape)]


def test_half_precision() -> None:
    layer, x = nn.Conv2d(6, 12, 3, padding=1).bfloat16(), smooth(4, 6, 9, 11).bfloat16()
    _, gradient, _ = gradients(CompressedConv2d(copy.deepcopy(layer), SavedInput(SavedDecomposition(0.999))), x)
    _, expected, _ = gradients(layer, x)
    assert gradient.dtype == torch.bfloat16
    assert (gradient - expected).norm() < 0.1 * expected.norm()


class Counting(Coarse):
    """Notes how often it encodes."""

    def __init__(self) -> None:
        super().__init__()
        self.times = 0

    def encode(self, x: Tensor) -> Payload:
        self.times += 1
        return super().encode(x)


def test_layers_that_read_the_same_tensor_share_what_is_saved() -> None:
    saved = SavedInput(Counting())
    branch, skip = (CompressedConv2d(nn.Conv2d(6, 6, size, padding=size // 2), saved) for size in (3, 1))
    for step in range(3):
        x = smooth(4, 6, 9, 11) + step
        (branch(x) + skip(x)).sum().backward()
        assert saved.codec.times == step + 1


def test_a_tensor_that_changed_is_another_tensor() -> None:
    saved, x = SavedInput(Counting()), smooth(4, 6, 9, 11)
    first = saved.save(x).tensors[0].clone()
    x.mul_(2)
    assert torch.equal(saved.save(x).tensors[0], (4 * x).round() / 4)
    assert not torch.equal(saved.save(x).tensors[0], first)
    assert saved.codec.times == 2
    del x
    again = smooth(4, 6, 9, 11)
    saved.save(again)
    assert saved.codec.times == 3
