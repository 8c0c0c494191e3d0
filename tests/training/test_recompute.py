"""Normalisations that are computed again, and layers that torch's hooks compress."""

import copy

import pytest
import torch
from torch import Tensor, fx, nn

from actbench.codec import Codec, Payload, PlainCodec, floating
from actbench.training.layers import HookedLayer, SavedInput, watched
from actbench.training.ledger import saved_bytes
from actbench.training.prepare import prepare
from actbench.training.recompute import NormalisedConv2d


class Coarse(Codec):
    """Loses what is below a quarter."""

    def encode(self, x: Tensor) -> Payload:
        return Payload(values=floating((4 * x).round() / 4))

    def decode(self, payload: Payload) -> Tensor:
        return payload["values"]


def network(bias: bool = False, momentum: float | None = 0.1) -> fx.GraphModule:
    torch.manual_seed(0)
    layers = [
        nn.Conv2d(3, 8, 3, padding=1, bias=bias),
        nn.BatchNorm2d(8, momentum=momentum),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1, stride=2, bias=bias),
        nn.BatchNorm2d(8, momentum=momentum),
        nn.ReLU(),
    ]
    return fx.symbolic_trace(nn.Sequential(*layers))


def images(seed: int = 1) -> Tensor:
    return torch.randn(4, 3, 12, 12, generator=torch.Generator().manual_seed(seed))


def train(model: nn.Module, steps: int = 3) -> None:
    for step in range(steps):
        model.zero_grad()
        model(images(step)).square().mean().backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= 0.1 * parameter.grad


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_without_loss_recomputed_normalisations_train_as_torch_does(bias: bool, momentum: float | None) -> None:
    plain = network(bias, momentum)
    prepared = prepare(plain, {"0": PlainCodec(None), "3": PlainCodec(None)}, normalisation="recomputed")
    assert sum(isinstance(part, NormalisedConv2d) for part in prepared.modules()) == 2
    train(plain), train(prepared)
    for (name, expected), (prepared_name, value) in zip(
        plain.named_parameters(), prepared.named_parameters(), strict=True
    ):
        assert torch.allclose(value, expected, rtol=1e-4, atol=1e-6), (name, prepared_name)
    for expected, value in zip(plain.buffers(), prepared.buffers(), strict=True):
        torch.testing.assert_close(value, expected)
    plain.eval(), prepared.eval()
    torch.testing.assert_close(prepared(images()), plain(images()), rtol=1e-4, atol=1e-5)


def test_a_recomputed_normalisation_has_the_gradient_of_the_decoded_input() -> None:
    plain = network()
    prepared = prepare(plain, {"0": Coarse(), "3": Coarse()}, normalisation="recomputed")
    first = NormalisedConv2d(
        copy.deepcopy(plain.get_submodule("0")), copy.deepcopy(plain.get_submodule("1")), SavedInput(Coarse())
    )
    x = images()
    weights = torch.randn(4, 8, 12, 12)
    (first(x) * weights).sum().backward()
    plain.get_submodule("1")(plain.get_submodule("0")(Coarse()(x))).mul(weights).sum().backward()
    # Mean and deviation are those of the forward pass: the two differ by what the codec changes in them.
    expected = plain.get_submodule("0").weight.grad
    assert (first.convolution.weight.grad - expected).norm() < 0.1 * expected.norm()
    assert prepared(x).requires_grad


def test_it_saves_nothing_of_the_normalisations_inputs() -> None:
    def kept(normalisation: str) -> int:
        model = prepare(network(), {"0": PlainCodec(None), "3": PlainCodec(None)}, normalisation=normalisation)
        with saved_bytes(model) as ledger:
            y = model(images())
            assert y.requires_grad
            return ledger.bytes

    values = 4 * 8 * 12 * 12 + 4 * 8 * 6 * 6
    assert kept("exact") - kept("quantised") == pytest.approx(3 * values, rel=0.01)
    assert kept("quantised") - kept("recomputed") == pytest.approx(values, rel=0.02)


def test_a_normalisation_that_others_read_too_stays() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x)
            return self.norm(y) + y

    prepared = prepare(fx.symbolic_trace(Net()), {"conv": PlainCodec(None)}, normalisation="recomputed")
    assert not any(isinstance(part, NormalisedConv2d) for part in prepared.modules())


@pytest.mark.parametrize(
    "layer", [nn.ConvTranspose2d(3, 5, 3, stride=2), nn.Conv1d(12, 4, 3)], ids=lambda x: type(x).__name__
)
def test_any_other_layer_is_compressed_by_hooks(layer: nn.Module) -> None:
    x = images()[:, 0] if isinstance(layer, nn.Conv1d) else images()
    gradient = torch.randn_like(layer(x))
    lossless, lossy = (HookedLayer(copy.deepcopy(layer), SavedInput(codec)) for codec in (PlainCodec(None), Coarse()))
    lossless(x).backward(gradient), lossy(x).backward(gradient)
    decoded = copy.deepcopy(layer)
    decoded.zero_grad(), layer.zero_grad()
    layer(x).backward(gradient), decoded(Coarse()(x)).backward(gradient)
    for parameter, expected in zip(lossless.layer.parameters(), layer.parameters(), strict=True):
        assert torch.equal(parameter.grad, expected.grad)
    torch.testing.assert_close(lossy.layer.weight.grad, decoded.weight.grad)
    assert not torch.allclose(lossy.layer.weight.grad, layer.weight.grad)


def test_a_networks_transposed_convolution_is_compressed_and_counted() -> None:
    plain = fx.symbolic_trace(nn.Sequential(nn.ConvTranspose2d(3, 4, 3), nn.Sigmoid()))
    prepared = prepare(plain, {"0": PlainCodec(None)})
    with saved_bytes(prepared) as ledger:
        y = prepared(images())
        parts = ledger.bytes_by_module()
    assert parts["0"] == images().numel() * 4
    y.square().sum().backward()
    plain(images()).square().sum().backward()
    assert torch.equal(prepared.get_submodule("0").layer.weight.grad, plain.get_submodule("0").weight.grad)


def test_encoding_and_gradients_are_watched() -> None:
    model, seen = prepare(network(), {"0": Coarse(), "3": Coarse()}), []

    class Noting:
        def __init__(self, work: str) -> None:
            seen.append(work)

        def __enter__(self) -> None: ...

        def __exit__(self, *_: object) -> None: ...

    with watched(model, Noting):
        model(images()).sum().backward()
    assert sorted(seen) == ["encode", "encode", "gradient", "gradient"]
    seen.clear()
    model(images()).sum().backward()
    assert seen == []
