"""Which feature maps a model has: against hand counts, and against the published rows."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actbench.budget import Bits, Budget, Ceiling
from actbench.cli.maps import build_model, describe
from actbench.errors import UserError
from actbench.network.conventions import activation_bits, live_peak
from actbench.network.trace import TracedNetwork, trace


class Residual(nn.Module):
    """A pooled stem and a block whose input feeds a convolution and the skip."""

    def __init__(self, style: str = "module") -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.conv1, self.conv2, self.last = (nn.Conv2d(4, 4, 3, padding=1) for _ in range(3))
        self.relu, self.pool, self.dropout = nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Dropout2d()
        self.style = style

    def act(self, x: Tensor) -> Tensor:
        styles = {"module": self.relu, "function": F.relu, "torch": torch.relu, "in place": F.relu_}
        return x.relu_() if self.style == "method" else styles[self.style](x)

    def forward(self, x: Tensor) -> Tensor:
        x = self.dropout(self.pool(self.act(self.stem((x - 0.5) / 0.25))))
        y = self.conv2(self.act(self.conv1(x)))
        y += x
        return self.last(self.act(y)).mean((2, 3))


STYLES = ["module", "function", "torch", "in place", "method"]


@pytest.mark.parametrize("style", STYLES)
def test_a_blocks_input_is_one_map_however_the_nonlinearity_is_written(style: str) -> None:
    network = trace(Residual(style), (3, 8, 6))
    described = [
        (m.name, m.channels, m.height, m.width, m.producer, [r.operation for r in m.readers]) for m in network.maps
    ]
    assert described == [
        ("conv1", 4, 4, 3, "stem", ["conv", "add"]),
        ("conv2", 4, 4, 3, "conv1", ["conv"]),
        ("last", 4, 4, 3, "add", ["conv"]),
    ]
    assert [m.shared for m in network.maps] == [True, False, False]
    assert [[step.name for step in m.between] for m in network.maps] == [["relu", "max_pool2d"], ["relu"], ["relu"]]
    assert network.maps[0].source == (8, 6)
    assert network.maps[0].nonnegative


@pytest.mark.parametrize("style", STYLES)
def test_tracing_changes_no_output_and_writes_nothing_in_place(style: str) -> None:
    model = Residual(style).eval()
    images = torch.randn(2, 3, 8, 6)
    kept = images.clone()
    with torch.no_grad():
        assert torch.equal(trace(model, (3, 8, 6)).module(images), model(kept))
    assert torch.equal(images, kept)


def test_conventions_by_hand() -> None:
    network = trace(Residual(), (3, 8, 6))
    whole = {fmap.name: fmap.bits for fmap in network.maps}
    assert set(whole.values()) == {4 * 4 * 3 * 32}
    assert [fmap.elements for fmap in network.activations] == [4 * 8 * 6, 4 * 4 * 3, 4 * 4 * 3]
    assert (
        live_peak(network, whole) == 2 * 48 * 32
    )  # conv2 reads its map while the block's input waits for the addition
    stored = {"conv1": 48 * 8, "conv2": 48 * 4, "last": 48 * 2}
    assert live_peak(network, stored) == 48 * 8 + 48 * 4
    assert activation_bits(network, stored, dict.fromkeys(stored, "after")) == [192 * 32, 48 * 4, 48 * 2]
    assert activation_bits(network, stored, dict.fromkeys(stored, "around")) == [192 * 8, 48 * 4, 48 * 2]


def test_a_module_called_twice_reads_two_maps() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.conv = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(self.conv(self.first(x)))

    assert [fmap.name for fmap in trace(Twice(), (3, 4, 4)).maps] == ["conv", "conv@2"]


def test_a_linear_layer_on_a_map_with_channels_last() -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.linear = nn.Conv2d(3, 6, 1), nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(self.conv(x).relu().permute(0, 2, 3, 1))

    fmap = trace(Last(), (3, 4, 5)).maps[0]
    assert (fmap.channels, fmap.height, fmap.width, fmap.channels_last) == (6, 4, 5, True)
    assert fmap.readers[0].pointwise


def test_what_cannot_be_traced_names_the_line() -> None:
    class Deciding(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if x.sum() > 0:
                return x
            return -x

    with pytest.raises(UserError, match=r"test_trace\.py:\d+: if x\.sum\(\) > 0") as caught:
        trace(Deciding(), (3, 4, 4))
    assert "\n" not in str(caught.value)


def report(model: str, ceiling: str) -> tuple[TracedNetwork, dict]:
    network = trace(build_model(f"torchvision:{model}"), (3, 224, 224))
    return network, describe(network, Budget(Ceiling.parse(ceiling), Bits.parse("w32a32")), "conv-inputs")


def test_published_ranks_of_resnet18() -> None:
    _, found = report("resnet18", "4x")
    ranks = {row["name"]: (row["channels"], row["rank"]) for row in found["maps"]}
    expected = {f"layer1.{name}": (64, 16) for name in ("0.conv1", "0.conv2", "1.conv1", "1.conv2")}
    expected |= {"layer2.0.conv1": (64, 16), "layer2.0.conv2": (128, 64), "layer2.1.conv1": (128, 64)}
    expected |= {"layer2.1.conv2": (128, 64), "layer3.0.conv1": (128, 64)}
    reduced = {name: pair for name, pair in ranks.items() if pair[0] != pair[1]}
    assert reduced == expected
    assert list(reduced) == list(expected)
    assert len(ranks) == 16
    assert round(found["total_ratio"], 1) == 2.3
    assert found["limit"] == 50_176 * 32


def test_published_ranks_of_vgg16() -> None:
    _, found = report("vgg16_bn", "6x")
    reduced = {row["name"]: row["rank"] for row in found["maps"] if row["rank"] != row["channels"]}
    assert reduced == {"features.3": 10, "features.7": 42, "features.10": 42, "features.17": 170, "features.20": 170}
    assert round(found["total_ratio"], 1) == 2.1


@pytest.mark.parametrize(("model", "share"), [("resnet18", "6.9"), ("vgg16", "2.3"), ("mobilenet_v2", "34.4")])
def test_largest_activation_against_parameters(model: str, share: str) -> None:
    assert f"{100 * report(model, '4x')[1]['largest_activation_share']:.1f}" == share


@pytest.mark.parametrize(
    "model",
    ["alexnet", "densenet121", "efficientnet_b0", "convnext_tiny", "googlenet", "mobilenet_v3_small", "mnasnet0_5",
     "shufflenet_v2_x0_5", "squeezenet1_1", "regnet_y_400mf", "resnext50_32x4d", "inception_v3"],
)  # fmt: skip
def test_torchvisions_models_can_be_traced(model: str) -> None:
    network, found = report(model, "4x")
    assert len(network.maps) >= 4
    assert found["stored_peak"] <= found["limit"]
    assert found["live_peak"] >= found["peak"]
