"""Which feature maps a model has: against hand counts, and against the published rows."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actbench.budget import Bits, Budget, Ceiling
from actbench.cli.maps import describe
from actbench.codec.modules import build_all
from actbench.errors import UserError
from actbench.feature_map import CHANNELS_LAST
from actbench.network.conventions import activation_bits, live_peak
from actbench.network.trace import TracedNetwork, trace
from actbench.workloads.own.models import build_model


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
    # conv2 reads its map while the block's input waits for the addition, whose result is written
    assert live_peak(network, whole) == 3 * 48 * 32
    stored = {"conv1": 48 * 8, "conv2": 48 * 4, "last": 48 * 2}
    assert live_peak(network, stored) == 48 * 8 + 48 * 4 + 48 * 2
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
    assert (fmap.channels, fmap.height, fmap.width, fmap.layout) == (6, 4, 5, CHANNELS_LAST)
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
    network = trace(build_model(f"torchvision:{model}"), (3, 224, 224), "conv-inputs")
    return network, describe(network, Budget(Ceiling.parse(ceiling), Bits.parse("w32a32")), "conv-inputs")


def test_published_ranks_of_resnet18() -> None:
    _, figures = report("resnet18", "4x")
    ranks = {row["name"]: (row["channels"], row["rank"]) for row in figures["maps"]}
    expected = {f"layer1.{name}": (64, 16) for name in ("0.conv1", "0.conv2", "1.conv1", "1.conv2")}
    expected |= {"layer2.0.conv1": (64, 16), "layer2.0.conv2": (128, 64), "layer2.1.conv1": (128, 64)}
    expected |= {"layer2.1.conv2": (128, 64), "layer3.0.conv1": (128, 64)}
    reduced = {name: pair for name, pair in ranks.items() if pair[0] != pair[1]}
    assert reduced == expected
    assert list(reduced) == list(expected)
    assert len(ranks) == 16
    assert round(figures["total_ratio"], 1) == 2.3
    assert figures["limit"] == 50_176 * 32


def test_published_ranks_of_vgg16() -> None:
    _, figures = report("vgg16_bn", "6x")
    reduced = {row["name"]: row["rank"] for row in figures["maps"] if row["rank"] != row["channels"]}
    assert reduced == {"features.3": 10, "features.7": 42, "features.10": 42, "features.17": 170, "features.20": 170}
    assert round(figures["total_ratio"], 1) == 2.1


@pytest.mark.parametrize(("model", "share"), [("resnet18", "6.9"), ("vgg16", "2.3"), ("mobilenet_v2", "34.4")])
def test_largest_activation_against_parameters(model: str, share: str) -> None:
    assert f"{100 * report(model, '4x')[1]['largest_activation_share']:.1f}" == share


@pytest.mark.parametrize(
    "model",
    ["alexnet", "densenet121", "efficientnet_b0", "convnext_tiny", "googlenet", "mobilenet_v3_small", "mnasnet0_5",
     "shufflenet_v2_x0_5", "squeezenet1_1", "regnet_y_400mf", "resnext50_32x4d", "inception_v3"],
)  # fmt: skip
def test_torchvisions_models_can_be_traced(model: str) -> None:
    network, figures = report(model, "4x")
    assert len(network.maps) >= 4
    assert figures["stored_peak"] <= figures["limit"]
    assert figures["live_peak"] >= figures["peak"]


class Slopes(nn.Module):
    """PReLU as a function of a parameter, one slope a channel."""

    def __init__(self) -> None:
        super().__init__()
        self.slopes = nn.Parameter(torch.tensor([-0.5, 0.1, 0.25, 2.0]))

    def forward(self, x: Tensor) -> Tensor:
        return F.prelu(x, self.slopes)


class Two(nn.Module):
    """conv1 → something → conv2, on images 3×8×8."""

    def __init__(self, between: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 5, 3)
        self.between = between

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.between(self.conv1(x)))


@pytest.mark.parametrize(
    ("between", "steps"),
    [
        (lambda x: F.max_pool2d(F.relu6(x), 2), ["relu6", "max_pool2d"]),
        (lambda x: F.avg_pool2d(torch.sigmoid(x), 3, 2, 1, False, False), ["sigmoid", "avg_pool2d"]),
        (nn.Sequential(nn.ReLU(), nn.AvgPool2d(2, padding=1, count_include_pad=False)), ["relu", "avg_pool2d"]),
        (nn.Sequential(nn.Hardswish(), nn.MaxPool2d(3, 2, ceil_mode=True)), ["hardswish", "max_pool2d"]),
        (nn.Sequential(nn.ReLU(), nn.AvgPool2d(2, divisor_override=1)), ["relu", "avg_pool2d"]),
        (lambda x: F.leaky_relu(x, 0.3), ["leaky_relu"]),
        (lambda x: F.elu(x, alpha=0.5), ["elu"]),
        (nn.GELU(approximate="tanh"), ["gelu"]),
        (nn.PReLU(4), ["prelu"]),
        (Slopes(), ["prelu"]),
        (nn.Hardtanh(-0.5, 2.0), ["hardtanh"]),
        (lambda x: F.hardtanh(x, 0.0, 3.0), ["hardtanh"]),
        (nn.Sequential(nn.Softplus(2.0, 10.0), nn.MaxPool2d(2)), ["softplus", "max_pool2d"]),
        (lambda x: F.softplus(x, 0.5), ["softplus"]),
        (nn.SELU(inplace=True), ["selu"]),
        (F.selu, ["selu"]),
        (nn.Mish(inplace=True), ["mish"]),
        (F.mish, ["mish"]),
        (nn.Softsign(), []),
    ],
)
def test_the_steps_lead_from_the_source_to_the_map(between: Callable[[Tensor], Tensor], steps: list[str]) -> None:
    network = trace(Two(between), (3, 8, 8))
    (fmap,) = network.maps
    assert [operation.name for operation in fmap.between] == steps
    if not steps:
        return
    x = 4 * torch.randn(2, 3, 8, 8)
    built = build_all(fmap.between)(network.module.conv1(x))
    torch.testing.assert_close(network.module.conv2(built), network.module(x))


NONLINEAR: dict[str, tuple[Callable[[Tensor], Tensor], bool]] = {
    "ReLU": (nn.ReLU(), True),
    "Softplus": (nn.Softplus(), True),
    "softplus": (F.softplus, True),
    "Hardtanh": (nn.Hardtanh(), False),
    "Hardtanh from 0": (nn.Hardtanh(0.0, 4.0), True),
    "hardtanh from 0": (lambda x: F.hardtanh(x, 0.0), True),
    "PReLU": (nn.PReLU(4), False),
    "PReLU of an absolute value": (nn.PReLU(4, init=-1.0), True),
    "prelu": (Slopes(), False),
    "LeakyReLU": (nn.LeakyReLU(), False),
    "SELU": (nn.SELU(), False),
    "selu": (F.selu, False),
    "Mish": (nn.Mish(), False),
    "mish": (F.mish, False),
}


@pytest.mark.parametrize(("between", "nonnegative"), NONLINEAR.values(), ids=NONLINEAR.keys())
def test_what_cannot_be_negative_is_known(between: Callable[[Tensor], Tensor], nonnegative: bool) -> None:
    network = trace(Two(between), (3, 8, 8))
    (fmap,) = network.maps
    assert fmap.nonnegative == nonnegative
    assert len(network.activations) == 1
    given = build_all(fmap.between)(torch.linspace(-9, 9, 400).view(1, 4, 10, 10))
    assert (float(given.min()) >= 0) == nonnegative


@pytest.mark.parametrize(
    "between",
    [
        lambda x: F.relu(x, True),
        lambda x: F.leaky_relu(x, 0.1, True),
        lambda x: x.sigmoid_(),
        lambda x: torch.tanh_(x),
        F.leaky_relu_,
    ],
)
def test_nothing_overwrites_a_source(between: Callable[[Tensor], Tensor]) -> None:
    """However it is said that it should: by position, by name, by an underscore."""
    network = trace(Two(between), (3, 8, 8))
    interpreter = torch.fx.Interpreter(network.module, garbage_collect_values=False)
    interpreter.run(torch.randn(1, 3, 8, 8))
    source = {node.name: value for node, value in interpreter.env.items()}[network.places["conv2"].source]
    assert torch.equal(source, network.module.conv1(interpreter.env[next(iter(interpreter.env))]))


def test_an_overwritten_tensor_that_is_read_again_is_read_as_it_was_written() -> None:
    class Aliasing(Two):
        def forward(self, x: Tensor) -> Tensor:
            before = self.conv1(x)
            after = F.relu(before, inplace=True)
            return self.conv2(after + before)

    model, x = Aliasing(nn.Identity()).eval(), torch.randn(2, 3, 8, 8)
    expected = model(x)
    torch.testing.assert_close(trace(model, (3, 8, 8)).module(x), expected)


def test_the_model_stays_as_it_was() -> None:
    """Also for whoever goes on training it."""

    class Overwriting(Two):
        def forward(self, x: Tensor) -> Tensor:
            before = self.conv1(x)
            return self.conv2(self.between(before) + before)

    model, x = Overwriting(nn.ReLU(inplace=True)).train(), torch.randn(2, 3, 8, 8)
    expected = model(x)
    trace(model, (3, 8, 8))
    assert model.training
    assert torch.equal(model(x), expected)


def test_asking_for_a_size_is_not_reading() -> None:
    class Flattening(Two):
        def forward(self, x: Tensor) -> Tensor:
            y = F.relu(self.conv1(x))
            return self.conv2(y).reshape(y.shape[0], -1, y.size(3) - 2)

    (fmap,) = trace(Flattening(nn.Identity()), (3, 8, 11)).maps
    assert [reader.name for reader in fmap.readers] == ["conv2"]


def test_an_activation_with_channels_last() -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.up, self.down = nn.Conv2d(3, 6, 1), nn.Linear(6, 12), nn.Linear(12, 6)

        def forward(self, x: Tensor) -> Tensor:
            return self.down(F.gelu(self.up(self.conv(x).permute(0, 2, 3, 1))))

    (activation,) = trace(Last(), (3, 8, 10)).activations
    assert (activation.channels, activation.height, activation.width) == (12, 8, 10)


def test_a_depthwise_reader_is_not_pointwise() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU6(), nn.Conv2d(8, 8, 1, groups=8), nn.ReLU6(), nn.Conv2d(8, 4, 1))
    depthwise, pointwise = (fmap.readers[0] for fmap in trace(model, (3, 8, 8)).maps)
    assert (depthwise.groups, depthwise.pointwise, pointwise.pointwise) == (8, False, True)


def test_an_image_that_does_not_fit_is_refused() -> None:
    with pytest.raises(UserError, match=r"does not accept an image of 4×8×8: .*4 channels"):
        trace(Two(nn.ReLU()), (4, 8, 8))
