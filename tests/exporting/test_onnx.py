"""Networks in ONNX: onnxruntime computes what torch does, and the file holds what it should."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

import actbench
from actbench.codec.payload import Payload, floating
from actbench.codec.quantizers import UniformQuantizer
from actbench.errors import Unsupported, UserError
from actbench.exporting.agreement import OtherOutputs
from actbench.exporting.onnx_model import onnx_model
from actbench.exporting.quantizers import FrozenQuantizer
from actbench.network.deploy import deploy

onnx = pytest.importorskip("onnx", reason='needs `pip install "actbench[onnx]"`')
onnxruntime = pytest.importorskip("onnxruntime", reason='needs `pip install "actbench[onnx]"`')


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    ).eval()


@pytest.fixture
def images() -> Tensor:
    return torch.rand(16, 3, 12, 12, generator=torch.Generator().manual_seed(1))


def compressed(images: Tensor, method: str = "quantize", **settings: Any) -> actbench.Compressed:
    chosen = {"ceiling": "4x", "fit": "off", "plain": "never"} | settings
    return actbench.compress(net(), method=method, calibration=images, **chosen)


def computed(model: Any, images: Tensor) -> Tensor:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {"images": images.numpy()})[0])


def in_onnx(module: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """What a module without codecs gives, and what it gives in ONNX, of another number of images than it was recorded
    with."""
    with torch.no_grad():
        return module.eval()(images), computed(onnx_model(fx.symbolic_trace(module), 32, images[:2]), images)


class Steps(nn.Module):
    """A convolution, and then a function of a map (n, 8, 12, 12)."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 1)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.stem(x))


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "hardswish": F.hardswish,
    "hardsigmoid": F.hardsigmoid,
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu by tanh": lambda x: F.gelu(x, approximate="tanh"),
    "leaky relu": lambda x: F.leaky_relu(x, 0.2),
    "elu": F.elu,
    "softplus": F.softplus,
    "mish": F.mish,
    "relu6": F.relu6,
    "clamp": lambda x: x.clamp(-0.1, 0.2),
    "clamp at one end": lambda x: x.clamp(min=-0.1),
    "arithmetic": lambda x: (1 - x) * x / 2 + (x - 0.5) ** 2,
    "softmax": lambda x: x.softmax(1),
    "average pool": lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
    "average pool, rounded up": lambda x: F.avg_pool2d(x, 5, 5, ceil_mode=True),
    "max pool": lambda x: F.max_pool2d(x, 3, 2, 1),
    "adaptive pool": lambda x: F.adaptive_avg_pool2d(x, (3, 4)),
    "nearest": lambda x: F.interpolate(x, scale_factor=2.0),
    "bilinear": lambda x: F.interpolate(x, (20, 17), mode="bilinear"),
    "bilinear, corners": lambda x: F.interpolate(x, (20, 17), mode="bilinear", align_corners=True),
    "shuffle": lambda x: F.pixel_shuffle(x, 2),
    "pad": lambda x: F.pad(x, (1, 2, 3, 0), value=0.5),
    "reflected": lambda x: F.pad(x, (1, 2, 3, 0), mode="reflect"),
    "channels mixed": lambda x: x.view(x.size(0), 2, 4, 12, 12).transpose(1, 2).reshape(x.shape),
    "parts": lambda x: torch.cat([part.mean((2, 3)) for part in x.split([3, 5], 1)], 1),
    "slices": lambda x: x[:, 1:7:2, :, 3:] * x[:, :1, :, :9].sigmoid(),
    "in place": lambda x: x.clone().mul_(2).add_(x),
    "normalised": lambda x: F.layer_norm(x.permute(0, 2, 3, 1), (8,)).permute(0, 3, 1, 2),
    "in groups": lambda x: F.group_norm(x, 4),
    "product": lambda x: x.flatten(2) @ x.flatten(2).transpose(1, 2),
}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_onnxruntime_computes_what_torch_does(function: Callable[[Tensor], Tensor], images: Tensor) -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        stem = Steps(function)
        expected = stem(images[:5])
        given = computed(onnx_model(_graph(stem), 32, images[:2]), images[:5])
    torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-5)


def _graph(module: nn.Module) -> fx.GraphModule:
    """A graph that calls the module as a whole: torch.export looks into it."""
    graph = fx.Graph()
    graph.output(graph.call_module("whole", (graph.placeholder("x"),)))
    return fx.GraphModule({"whole": module}, graph)


def test_bits_read_as_another_type_have_no_onnx_form(images: Tensor) -> None:
    stem = Steps(lambda x: x.contiguous().view(torch.int32).bitwise_and(-65536).view(torch.float32))
    with torch.no_grad(), pytest.raises(Unsupported, match=r"view\.dtype"):
        onnx_model(_graph(stem), 32, images[:2])


LAYERS = {
    "in groups, dilated": nn.Conv2d(3, 6, 3, padding=2, dilation=2, groups=3),
    "of unequal strides": nn.Conv2d(3, 4, (3, 5), stride=(1, 2), padding=(1, 2)),
    "of even size, the same": nn.Conv2d(3, 4, 4, padding="same"),
    "transposed": nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1, output_padding=1),
    "over the last dimension": nn.Linear(12, 5),
    "normalisation": nn.BatchNorm2d(3, affine=False),
    "slopes": nn.PReLU(3, 0.3),
}


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_layers_are_what_they_are_in_torch(layer: nn.Module, images: Tensor) -> None:
    expected, given = in_onnx(nn.Sequential(layer), images[:3] - 0.5)
    torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-5)


METHODS = ("quantize", "prochan", "projection", "greedy", "mixed-precision", "wcc")


@pytest.mark.parametrize("method", METHODS)
def test_a_method_is_exported_as_it_is_deployed(method: str, images: Tensor, tmp_path: Path) -> None:
    model = compressed(images, method, ceiling="8x")
    exported = actbench.export(model, tmp_path / "taken", images=images)
    assert exported.agreement.top1 == exported.agreement.images == 16
    assert exported.agreement.difference < 1e-4
    made = json.loads((tmp_path / "taken" / "export.json").read_text())
    assert (made["method"], made["opset"], made["budget"]) == (method, 21, "8x w8a2-8")
    assert sorted(made["files"]) == ["maps.csv", "network.onnx"]
    assert {path.name for path in (tmp_path / "taken").iterdir()} == {*made["files"], "export.json"}


@pytest.mark.parametrize(("bits", "weight", "stored"), [("w8a8", "INT8", "UINT8"), ("w4a3", "INT4", "UINT4")])
def test_integers_are_the_smallest_that_hold_the_codes(bits: str, weight: str, stored: str, images: Tensor) -> None:
    """The first layer and the last one keep 8 bits."""
    model = compressed(images, bits=bits)
    deployed = deploy(model._compression.spliced, int(bits[1])).module
    made = onnx_model(deployed, int(bits[1]), images)
    kinds = {one.name: onnx.TensorProto.DataType.Name(one.data_type) for one in made.graph.initializer}
    assert [kinds[name] for name in kinds if name.endswith(".codes")] == ["INT8", weight, "INT8"]
    zeros = [node.input[2] for node in made.graph.node if node.op_type == "QuantizeLinear"]
    assert [kinds[name] for name in zeros] == [stored] * len(model.maps)
    with torch.no_grad():
        torch.testing.assert_close(computed(made, images), deployed(images), rtol=1e-4, atol=1e-4)


def test_max_pooling_reads_integers_that_onnxruntime_pools(images: Tensor) -> None:
    """Of a stored map of 4 bits; of 8 it may move the pooling before their values."""
    module = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 8, 1), nn.MaxPool2d(2), nn.Conv2d(8, 4, 1))
    for maps in ("live", "conv-inputs"):
        model = actbench.compress(
            module, method="quantize", ceiling="8x", bits="w8a4", calibration=images, fit="off", maps=maps
        )
        deployed = deploy(model._compression.spliced, 8).module
        with torch.no_grad():
            torch.testing.assert_close(
                computed(onnx_model(deployed, 8, images), images), deployed(images), rtol=1e-3, atol=1e-3
            )


def test_each_channels_clip_is_in_the_file(images: Tensor) -> None:
    model = compressed(images)
    for codec in model.plan.values():
        codec.clip_channels(torch.randn(8, 8, 12, 12))  # type: ignore[operator]
    deployed = deploy(model._compression.spliced, 8).module
    made = onnx_model(deployed, 8, images)
    assert all(node.attribute[0].i == 1 for node in made.graph.node if node.op_type == "QuantizeLinear")
    with torch.no_grad():
        torch.testing.assert_close(computed(made, images), deployed(images), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("marked", [False, True])
@pytest.mark.parametrize("width", [1, 2, 5, 8])
def test_a_frozen_quantiser_is_the_quantiser(width: int, marked: bool) -> None:
    x = torch.randn(4, 3, 7, 7)
    quantizer = UniformQuantizer(width, -0.7, 1.1)
    for _ in range(2):
        frozen = FrozenQuantizer(quantizer, marked=marked)
        with torch.no_grad():
            torch.testing.assert_close(frozen(x), quantizer(x), rtol=1e-6, atol=1e-6)
        quantizer.clip_channels(x)


def test_a_program_holds_no_pickle_and_needs_no_actbench(images: Tensor, tmp_path: Path) -> None:
    model = compressed(images, "hosvd")
    exported = actbench.export(model, tmp_path, format="torch", images=images)
    with zipfile.ZipFile(tmp_path / "network.pt2") as archive:
        parts = {part.filename: archive.read(part) for part in archive.infolist()}
    assert not any(content.startswith((b"PK", b"\x80\x02")) for content in parts.values())
    assert not any(b"actbench::" in content for content in parts.values())
    program = torch.export.load(tmp_path / "network.pt2").module()
    with torch.no_grad():
        assert program(images[:1]).shape == (1, 4)
        torch.testing.assert_close(program(images), exported_outputs(model, images), rtol=1e-3, atol=1e-3)
    assert exported.agreement.holds


def exported_outputs(model: actbench.Compressed, images: Tensor) -> Tensor:
    outputs: Tensor = deploy(model._compression.spliced, 8).module(images)
    return outputs


def test_what_has_no_form_says_why_and_leaves_nothing(images: Tensor, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match=r"no ONNX form is known of .*linalg_eigh"):
        actbench.export(compressed(images, "hosvd"), tmp_path / "taken", images=images)
    model = compressed(images)
    for codec in model.plan.values():
        codec.encode = _branching  # type: ignore[method-assign]
    with pytest.raises(Unsupported, match=r"4: PlainCodec cannot be recorded by torch.export"):
        actbench.export(model, tmp_path / "taken", format="torch", images=images)
    assert list(tmp_path.iterdir()) == []


def _branching(x: Tensor) -> Payload:
    return Payload(codes=floating(x if float(x.sum()) > 0 else -x))


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("rle", {"ceiling": "12x"}),
        ("csc", {"ceiling": "6x"}),
        ("ebpc", {"ceiling": "12x"}),
        pytest.param("pca", {"ceiling": "12x"}, marks=pytest.mark.slow),
        ("float-lossless", {"ceiling": "3x", "bits": "w32a16"}),
    ],
)
def test_what_writes_strings_is_a_program_that_gives_the_values(
    method: str, settings: dict[str, str], images: Tensor, tmp_path: Path
) -> None:
    """Of images that take the planned rung, and of others that take one below."""
    model = compressed(images, method, **settings)
    both = torch.cat([images, 4 * torch.randn(images.shape, generator=torch.Generator().manual_seed(2))])
    exported = actbench.export(model, tmp_path / "taken", format="torch", images=both)
    assert exported.agreement.top1 == exported.agreement.images == 32
    assert exported.agreement.difference < (1e-4 if method in ("rle", "csc", "ebpc") else 1e-2)
    (stored,) = model.footprint(both).footprint.maps
    assert stored.fallbacks is not None
    assert 0 < stored.fallbacks < 32


def test_other_outputs_leave_nothing(images: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import actbench.exporting.write as write

    def wrong(module: fx.GraphModule, width: int, images: Tensor) -> Any:
        module = fx.GraphModule(module, module.graph)
        with torch.no_grad():
            module.get_submodule("8").weight.mul_(0.5)  # type: ignore[operator]
        made = onnx_model(module, width, images)
        with torch.no_grad():
            module.get_submodule("8").weight.mul_(2)  # type: ignore[operator]
        return made

    monkeypatch.setattr(write, "onnx_model", wrong)
    with pytest.raises(OtherOutputs, match="gives other outputs, and is not kept"):
        actbench.export(compressed(images), tmp_path / "taken", images=images)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_stays_as_it_is(images: Tensor, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="is not empty"):
        actbench.export(compressed(images), tmp_path, images=images)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
