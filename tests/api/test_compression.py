"""Compression of a model of one's own: what changes, and that everything else stays."""

import copy
import io
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import actbench
from actbench.codec import Allowance, Codec, FeatureMap, MapStatistics, Method, PlainCodec

SETTINGS: dict[str, Any] = {"method": "quantize", "ceiling": "8x", "fit": "off"}


class Residual(nn.Module):
    """Convolutions with normalisation, a nonlinearity in place, a skip, dropout and a tensor of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        self.block = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        self.scale = nn.Parameter(torch.ones(8, 1, 1))
        self.register_buffer("shift", torch.zeros(8, 1, 1))
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(8, 4))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = self.block(x) * self.scale + self.shift + x
        return self.head(x)  # type: ignore[no-any-return]


@pytest.fixture
def model() -> Residual:
    torch.manual_seed(0)
    model = Residual().eval()
    with torch.no_grad():
        for part in model.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
                part.running_mean.normal_()  # type: ignore[union-attr]
    return model


@pytest.fixture
def images() -> Tensor:
    return torch.rand(16, 3, 12, 12, generator=torch.Generator().manual_seed(1))


def test_it_is_the_model_itself_with_its_names_its_parameters_and_its_mode(model: Residual, images: Tensor) -> None:
    names, parameters = list(model.state_dict()), list(model.parameters())
    model.train()
    model.stem.eval()
    compressed = actbench.compress(model, calibration=images, **SETTINGS)
    assert compressed is model  # type: ignore[comparison-overlap]
    assert isinstance(compressed, Residual)
    assert isinstance(compressed, actbench.Compressed)
    assert list(model.state_dict()) == names
    assert all(one is other for one, other in zip(model.parameters(), parameters, strict=False))
    assert (model.training, model.stem.training, model.block.training) == (True, False, True)


def test_what_is_stored_is_what_counts(model: Residual, images: Tensor) -> None:
    exact = model(images)
    compressed = actbench.compress(model, calibration=images, **SETTINGS)
    counted = compressed.footprint(images)
    assert counted.peak_ratio >= 8
    assert counted.bits_per_value == counted.footprint.bits_per_value <= 4
    assert [part.name for part in counted.footprint.maps] == [fmap.name for fmap in compressed.maps]
    error = (model(images) - exact).norm() / exact.norm()
    assert 1e-5 < error < 0.2
    assert "8x w8a2-8: peak" in str(counted)
    assert counted._repr_html_().count("<tr>") == 1 + len(compressed.maps)
    assert "PlainCodec" in compressed._repr_html_()


class Several(Residual):
    def forward(self, x: Tensor) -> Any:
        scores = super().forward(x)
        return {"aux": scores[:, :2], "out": scores}


@pytest.mark.parametrize("targets", [False, True])
def test_of_several_outputs_one_is_looked_at_and_all_are_given(images: Tensor, targets: bool) -> None:
    torch.manual_seed(0)
    model = Several().eval()
    exact = model(images)
    calibration = (images, torch.arange(16, dtype=torch.uint8) % 4) if targets else images
    actbench.compress(model, method="quantize", ceiling="4x", calibration=calibration)
    given = model(images)
    assert set(given) == {"aux", "out"}
    for name, outputs in exact.items():
        assert 0 < (given[name] - outputs).norm() < 0.5 * outputs.norm()
    actbench.restore(model)
    assert torch.equal(model(images)["out"], exact["out"])


def test_without_a_ceiling_nothing_changes(model: Residual, images: Tensor) -> None:
    exact = model(images)
    compressed = actbench.compress(model, method="none", ceiling="1x", bits="w32a32", calibration=images, fit="off")
    torch.testing.assert_close(compressed(images), exact)


def test_everything_is_restored(model: Residual, images: Tensor) -> None:
    exact, before = model(images), copy.deepcopy(model.state_dict())
    statistics = {"method": "quantize", "ceiling": "16x", "calibration": (images, torch.arange(16) % 4)}
    actbench.compress(model, **statistics)
    assert actbench.restore(model) is model
    assert type(model) is Residual
    assert not hasattr(model, "codecs")
    assert model.stem[2].inplace
    assert torch.equal(model(images), exact)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert actbench.restore(model) is model


def test_compressing_again_begins_with_the_model_as_it_was(model: Residual, images: Tensor) -> None:
    first = actbench.compress(model, calibration=images, **SETTINGS)(images)
    actbench.compress(model, calibration=images, **SETTINGS | {"ceiling": "16x"})
    again = actbench.compress(model, calibration=images, **SETTINGS)(images)
    assert torch.equal(first, again)


def test_a_copy_is_compressed_and_the_model_is_not(model: Residual, images: Tensor) -> None:
    exact = model(images)
    compressed = actbench.compress(model, calibration=images, inplace=False, **SETTINGS)
    assert type(model) is Residual
    assert torch.equal(model(images), exact)
    assert not torch.equal(compressed(images), exact)


def test_copies_are_apart(model: Residual, images: Tensor) -> None:
    compressed = actbench.compress(model, calibration=images, **SETTINGS)
    copied = copy.deepcopy(compressed)
    expected = compressed(images)
    assert torch.equal(copied(images), expected)
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.zero_()
    assert torch.equal(compressed(images), expected)
    assert not torch.equal(copied(images), expected)


def test_checkpoints_go_both_ways(model: Residual, images: Tensor) -> None:
    other = Residual().eval()
    compressed = actbench.compress(model, calibration=images, **SETTINGS)
    other.load_state_dict(compressed.state_dict())
    assert torch.equal(other.stem[0].weight, model.stem[0].weight)
    with torch.no_grad():
        other.stem[0].weight.mul_(2)
    compressed.load_state_dict(other.state_dict())
    assert torch.equal(other.stem[0].weight, model.stem[0].weight)
    codecs = compressed.codecs.state_dict()
    assert codecs
    compressed.codecs.load_state_dict(codecs)


def test_checkpoints_of_what_holds_it_go_both_ways_too(model: Residual, images: Tensor) -> None:
    plain = nn.Sequential(copy.deepcopy(model))
    holding = nn.Sequential(actbench.compress(model, calibration=images, **SETTINGS))
    plain.load_state_dict(holding.state_dict())
    holding.load_state_dict(plain.state_dict())
    with pytest.raises(RuntimeError, match="Missing key"):
        holding.load_state_dict({})
    with pytest.raises(RuntimeError, match="Missing key"):
        model.codecs.load_state_dict({})  # type: ignore[operator, union-attr]


def test_it_trains_in_parallel_on_data(model: Residual, images: Tensor, tmp_path: Path) -> None:
    """One process stands for all: what it holds is what is handed from one to another."""
    compressed = actbench.compress(model, calibration=images, **SETTINGS).train()
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        parallel = nn.parallel.DistributedDataParallel(compressed)
        parallel(images).square().mean().backward()
        parallel.load_state_dict(parallel.state_dict())
    finally:
        torch.distributed.destroy_process_group()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_an_optimiser_that_was_there_trains_it(model: Residual, images: Tensor) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    compressed = actbench.compress(model, calibration=images, **SETTINGS).train()
    weight, outputs = model.block[0].weight.clone(), compressed.eval()(images)
    compressed.train()(images).square().mean().backward()
    optimizer.step()
    assert not torch.equal(model.block[0].weight, weight)
    assert not torch.equal(compressed.eval()(images), outputs)
    assert set(model.parameters()) <= set(compressed.finetune_parameters())
    assert float(compressed.price()) == 0


def test_it_moves_as_a_whole(model: Residual, images: Tensor) -> None:
    compressed = actbench.compress(model, calibration=images, **SETTINGS)
    expected = compressed(images)
    doubled = compressed.double()
    assert {value.dtype for value in doubled.state_dict().values() if value.is_floating_point()} == {torch.float64}
    torch.testing.assert_close(doubled(images.double()), expected.double(), rtol=0.1, atol=0.1)
    assert torch.equal(doubled.float()(images), expected)


def test_the_deployed_form_computes_the_same(model: Residual, images: Tensor) -> None:
    compressed = actbench.compress(model, calibration=images, bits="w32a2-8", **SETTINGS)
    torch.testing.assert_close(compressed.deploy()(images), compressed(images), rtol=1e-2, atol=1e-2)


def test_a_method_of_ones_own(model: Residual, images: Tensor) -> None:
    class Coarse(Method):
        def codec(self, fmap: FeatureMap, stats: MapStatistics, allowance: Allowance) -> Codec:
            return PlainCodec.calibrated(fmap, stats, 2)

    own = Coarse({})
    compressed = actbench.compress(model, method=own, ceiling="8x", calibration=images, plain="never", fit="off")
    assert {codec.describe()["bits"] for codec in compressed.plan.values()} == {2}


def test_batches_of_images_and_targets(model: Residual, images: Tensor) -> None:
    whole = actbench.compress(model, calibration=images, inplace=False, **SETTINGS)
    batches = [(some, torch.zeros(len(some), dtype=torch.long)) for some in images.split(5)]
    parts = actbench.compress(model, calibration=batches, **SETTINGS)
    assert torch.equal(whole(images), parts(images))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"method": "no-such"}, "no-such"),
        ({"method": "group-quantize"}, "is not for inference"),
        ({"ceiling": "8"}, "write a factor"),
        ({"bits": "8"}, "write weights and activations"),
        ({"calibration": torch.rand(3, 12, 12)}, "(n, C, H, W)"),
        ({"calibration": torch.rand(0, 3, 12, 12)}, "there are none"),
        ({"calibration": torch.zeros(4, 3, 12, 12, dtype=torch.uint8)}, "floating-point"),
        ({"calibration": (torch.rand(4, 3, 12, 12), torch.zeros(3))}, "4 images with 3 targets"),
        ({"options": {"no": 1}}, "has no option 'no'"),
    ],
)
def test_what_cannot_be_done_is_said(model: Residual, images: Tensor, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(actbench.UserError) as caught:
        actbench.compress(model, **{"calibration": images} | SETTINGS | settings)
    assert said in str(caught.value)
    assert type(model) is Residual


def test_other_images_a_pickle_and_a_name_that_is_taken(model: Residual, images: Tensor) -> None:
    compressed = actbench.compress(model, calibration=images, **SETTINGS)
    with pytest.raises(actbench.UserError, match="images of 3x12x12 and got 3x24x24"):
        compressed(torch.rand(1, 3, 24, 24))
    with pytest.raises(actbench.UserError, match="save its state_dict"):
        torch.save(compressed, io.BytesIO())
    for name in ("maps", "codecs"):
        other = Residual()
        setattr(other, name, "mine")
        with pytest.raises(actbench.UserError, match=f"'{name}' of its own"):
            actbench.compress(other, calibration=images, **SETTINGS)


class Functional(nn.Module):
    """A convolution in a subclass's own `forward`, one that is called as a function, and control flow by shapes."""

    class Standardised(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.conv2d(x, self.weight, self.bias, self.stride, self.padding)

    def __init__(self) -> None:
        super().__init__()
        self.first, self.kernel = self.Standardised(3, 8, 3, padding=1), nn.Parameter(torch.randn(8, 8, 3, 3) / 8)
        self.norm, self.last = nn.BatchNorm2d(8), nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] % 2:
            raise ValueError("odd")
        x = self.norm(self.first(x)).relu()
        x = nn.functional.conv2d(x, self.kernel, padding=1).relu()
        return self.last(x)  # type: ignore[no-any-return]


def test_layers_that_are_called_as_functions_share_their_parameters(images: Tensor) -> None:
    torch.manual_seed(0)
    model = Functional()
    compressed = actbench.compress(model, calibration=images, **SETTINGS).train()
    assert len(compressed.maps) == 2
    compressed(images).square().mean().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    outputs = compressed.eval()(images)
    with torch.no_grad():
        model.kernel.zero_()
    assert not torch.equal(compressed(images), outputs)


def test_modes_of_modules_are_followed(model: Residual, images: Tensor) -> None:
    compressed = actbench.compress(model, calibration=images, **SETTINGS).train()
    model.stem[1].eval()
    mean, other = model.stem[1].running_mean.clone(), model.block[1].running_mean.clone()
    compressed(images)
    assert torch.equal(model.stem[1].running_mean, mean)
    assert not torch.equal(model.block[1].running_mean, other)


def test_other_models(images: Tensor) -> None:
    computed = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 8, 3))
    model = actbench.compress(nn.Sequential(computed, nn.ReLU(), nn.Conv2d(8, 4, 3)), calibration=images, **SETTINGS)
    model(images).square().mean().backward()
    assert all(parameter.grad is not None for parameter in computed.parameters())
    with pytest.raises(actbench.UserError, match=r"compress model.float\(\)"):
        actbench.compress(Residual().half(), calibration=images, **SETTINGS)
    with pytest.raises(actbench.UserError, match="does not accept images of 5x12x12"):
        actbench.compress(Residual(), calibration=torch.rand(4, 5, 12, 12), **SETTINGS)
    with pytest.raises(actbench.UserError, match="no feature map"):
        actbench.compress(nn.Conv2d(3, 8, 3), calibration=images, **SETTINGS)
