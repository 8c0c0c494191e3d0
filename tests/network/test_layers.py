"""Layers that are called as functions: what they are raised to folds, is quantised, and keeps the parameters' names."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actbench.budget import Bits
from actbench.codec import PlainCodec
from actbench.measure.compute import in_fp32
from actbench.network import nodes
from actbench.network.deploy import deploy
from actbench.network.quantize import quantized, weights
from actbench.network.splice import splice
from actbench.network.trace import TracedNetwork, trace
from actbench.network.ways import Way
from tests.network.features import BY_NAME, IMAGE, Body, NormAct

WAYS: tuple[Way, ...] = ("fx", "export")
CONVOLUTIONS = (
    *("functional convolution", "own convolution", "transposed", "circular padding", "grouped", "1-D", "3-D"),
    *("weight_norm", "spectral_norm", "old weight_norm", "old spectral_norm", "normalisation with nonlinearity"),
)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_no_weight_stays_in_fp32(name: str, way: Way) -> None:
    """At 2 bits each output channel of a layer in the middle has three values, whoever computes its weights."""
    model, shape, _ = BY_NAME[name]()
    deployed = deploy(splice(trace(model, shape, ways=[way]), {}), 2)
    assert in_fp32(deployed.module, Bits.parse("w2a8"), torch.rand(1, *shape)) == {}
    found = weights(deployed.module)
    assert len(found) == 3
    middle = list(found.values())[1]
    rows = middle.tensor.detach().transpose(0, 1) if middle.groups is not None else middle.tensor.detach()
    assert all(len(row.unique()) <= 3 for row in rows.flatten(1))


def test_standardised_weights_are_quantised_as_they_are_computed() -> None:
    model, shape, _ = BY_NAME["own convolution"]()
    expected = model.middle.weight - model.middle.weight.mean((1, 2, 3), keepdim=True)
    deployed = deploy(splice(trace(model, shape), {}), 3).module
    middle = list(weights(deployed).values())[1].tensor
    torch.testing.assert_close(middle.data, quantized(expected.detach(), 3))


def normalisations(network: TracedNetwork) -> int:
    codecs = {fmap.name: PlainCodec(None) for fmap in network.maps}
    deployed = deploy(splice(network, codecs), 32).module
    return sum(isinstance(nodes.module_of(node), nn.BatchNorm2d) for node in deployed.graph.nodes)


class Checked(NormAct):
    """With a check of the shape, as libraries have it, and the branch of training."""

    def forward(self, x: Tensor) -> Tensor:
        torch._assert(x.ndim == 4, "not a map")
        if self.training:
            self.num_batches_tracked.add_(1)
        return super().forward(x)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", [NormAct, Checked])
def test_a_normalisation_with_its_nonlinearity_folds(kind: type[NormAct], way: Way) -> None:
    model = Body(nn.Sequential(nn.Conv2d(6, 6, 3, padding=1, bias=False), kind(6)))
    nn.init.uniform_(model.middle[1].running_var, 0.5, 2)
    network = trace(model, IMAGE, ways=[way])
    assert normalisations(network) == 0
    assert set(network.module.state_dict()) == set(model.state_dict())
    assert [(fmap.producer, [step.name for step in fmap.between]) for fmap in network.maps] == [
        ("first", ["relu"]),
        ("middle.1.act", ["relu"]),  # a second one, behind the normalisation's own
    ]


@pytest.mark.parametrize(("groups", "left"), [(1, 0), (2, 1)])
def test_a_normalisation_behind_a_transposed_convolution_folds(groups: int, left: int) -> None:
    model = Body(nn.Sequential(nn.ConvTranspose2d(6, 6, 2, 2, groups=groups), nn.BatchNorm2d(6))).eval()
    for tensor in (model.middle[1].running_mean, model.middle[1].weight.data, model.middle[1].running_var):
        nn.init.uniform_(tensor, 0.5, 2)
    network, x = trace(model, IMAGE), torch.rand(2, *IMAGE)
    assert normalisations(network) == left
    torch.testing.assert_close(deploy(splice(network, {}), 32).module(x), model(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("way", ["fx", "export"])
def test_weights_inside_a_module_of_attention_are_quantised(way: Way) -> None:
    model, shape, _ = BY_NAME["attention as a module"]()
    deployed = deploy(splice(trace(model, shape, ways=(way,)), {}), 4).module
    assert in_fp32(deployed, Bits.parse("w4a8"), torch.rand(1, *shape)) == {}
    assert len(weights(deployed)) == 5


class Twice(nn.Module):
    """One kernel in two convolutions of different strides, and a module whose parameters are used both ways."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.both = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.both(self.stem(x).relu()).relu()
        strided = F.conv2d(x, self.both.weight, self.both.bias, 2, 1)
        dilated = F.conv2d(x, self.both.weight, self.both.bias, 2, 2, 2)
        return strided + dilated


@pytest.mark.parametrize("way", WAYS)
def test_layers_that_share_a_kernel_keep_sharing_it(way: Way) -> None:
    model, x = Twice().eval(), torch.rand(2, *IMAGE)
    network = trace(model, IMAGE, ways=[way])
    assert torch.equal(network.module(x), model(x))
    assert [(reader.kernel, reader.stride) for reader in network.maps[1].readers] == [((3, 3), (2, 2))] * 2
    assert network.parameters == sum(map(torch.numel, model.parameters()))
    network.module.both.weight.data.zero_()
    model.both.weight.data.zero_()
    assert torch.equal(network.module(x), model(x))


def test_a_convolution_with_computed_weights_is_described_as_one() -> None:
    model, shape, _ = BY_NAME["own convolution"]()
    fmap = trace(model, shape).maps[0]
    assert [(reader.operation, reader.kernel, reader.stride) for reader in fmap.readers] == [("conv", (3, 3), (1, 1))]
    assert [fmap.elements for fmap in trace(model, shape, "conv-inputs").maps] == [6 * 16 * 16] * 2


def test_gradients_reach_the_parameters_that_weights_are_computed_from() -> None:
    model, shape, _ = BY_NAME["own convolution"]()
    network = trace(model, shape)
    network.module(torch.rand(2, *shape)).square().sum().backward()
    gradient = network.module.get_parameter("middle.weight").grad
    assert gradient is not None
    assert gradient.abs().sum() > 0


class Positions(nn.Module):
    """Adds a table that depends on no parameter, but for a parameter's type; its convolution is quantised."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1)
        self.register_buffer("steps", torch.arange(16.0))

    def forward(self, x: Tensor) -> Tensor:
        table = (self.steps / 3).to(self.first.weight.dtype).sin()
        return self.last(self.first(x + table).relu() + table)


@pytest.mark.parametrize("way", WAYS)
def test_a_table_is_no_weight(way: Way) -> None:
    network = trace(Positions(), IMAGE, ways=[way])
    deployed = deploy(splice(network, {}), 2).module
    assert "sin" in [nodes.function_name(node) for node in network.module.graph.nodes]
    assert in_fp32(deployed, Bits.parse("w2a8"), torch.rand(1, *IMAGE)) == {}
    assert set(weights(deployed)) == {"first", "last"}
    assert "sin" not in [nodes.function_name(node) for node in deployed.graph.nodes]
