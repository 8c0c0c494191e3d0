"""Training of one's own with less memory: gradients, bytes, and that everything else stays."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import actbench
from actbench.api.saving import count_saved_bytes
from actbench.registry import load_plugins
from actbench.workloads.torchvision_import import torchvision

TRAINING = sorted(
    name for name, info in load_plugins().methods.items() if info.role == "method" and "training" in info.tracks
)


class Small(nn.Module):
    """Two convolutions with normalisations, one ReLU as a module and one as a function, dropout, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.Conv2d(16, 16, 3, padding=1)
        self.norm, self.relu = nn.BatchNorm2d(16), nn.ReLU(inplace=True)
        self.drop, self.head = nn.Dropout(0.5), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.norm(self.first(x)))
        x = functional.relu(self.second(x))
        return self.head(self.drop(x.mean((2, 3))))  # type: ignore[no-any-return]


@pytest.fixture
def model() -> Small:
    torch.manual_seed(0)
    model = Small()
    model.drop.p = 0.0  # codecs that round at random would change its random numbers
    return model


@pytest.fixture
def images() -> Tensor:
    return torch.rand(16, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def gradients(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    model(images).square().mean().backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}


@pytest.mark.parametrize("method", ["group-quantize", "hosvd", "wcc"])
def test_outputs_are_exact_gradients_near_and_less_is_saved(model: Small, images: Tensor, method: str) -> None:
    names, parameters = list(model.state_dict()), list(model.parameters())
    exact, plain = gradients(copy.deepcopy(model), images), count_saved_bytes(copy.deepcopy(model), images)
    expected = copy.deepcopy(model)(images)
    compressed = actbench.compress_training(model, method=method, ceiling="4x", calibration=images)
    assert compressed is model  # type: ignore[comparison-overlap]
    assert isinstance(model, Small)
    assert (list(model.state_dict()), list(model.parameters())) == (names, parameters)
    assert compressed.saved_bytes(images) < plain / 2
    model.norm.reset_running_stats()
    torch.testing.assert_close(model(images), expected)
    for name, gradient in gradients(model, images).items():
        nearness = functional.cosine_similarity(gradient.flatten(), exact[name].flatten(), 0)
        assert nearness > 0.9, name


def test_an_uncompressed_kind_of_saving_is_exact(model: Small, images: Tensor) -> None:
    exact = gradients(copy.deepcopy(model), images)
    settings = {"method": "mechanism", "ceiling": "1x", "bits": "w32a32"}
    actbench.compress_training(model, calibration=images, normalisation="exact", **settings)  # type: ignore[arg-type]
    for name, gradient in gradients(model, images).items():
        torch.testing.assert_close(gradient, exact[name], rtol=1e-3, atol=1e-6)


def test_the_context_takes_everything_out_again(model: Small, images: Tensor) -> None:
    model.eval()
    exact = model(images)
    with actbench.compressed_training(model, method="group-quantize", ceiling="8x", calibration=images) as compressed:
        assert not compressed.training
        assert torch.equal(compressed(images), exact)
    assert type(model) is Small
    assert torch.equal(model(images), exact)
    assert "forward" not in model.first.__dict__


@pytest.mark.parametrize(
    "method", ["group-quantize", "gradient-filter", "hosvd", "subspace", "projection", "pca", "zvc"]
)
def test_under_autocast(model: Small, images: Tensor, method: str) -> None:
    exact = gradients(copy.deepcopy(model), images)
    actbench.compress_training(model, method=method, ceiling="4x", calibration=images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(images).float().square().mean()
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        assert parameter.grad.dtype == torch.float32
        assert functional.cosine_similarity(parameter.grad.flatten(), exact[name].flatten(), 0) > 0.8, name


@pytest.mark.slow
@pytest.mark.parametrize("autocast", [False, True], ids=["fp32", "autocast"])
@pytest.mark.parametrize("method", TRAINING)
def test_a_loop_of_ones_own_with_every_method(method: str, autocast: bool) -> None:
    images, labels = torch.rand(4, 3, 32, 32), torch.arange(4)
    model = torchvision("torchvision.models").resnet18(num_classes=10)
    computing = torch.autocast("cpu", torch.bfloat16, enabled=autocast)
    with computing:
        plain = count_saved_bytes(copy.deepcopy(model), images)
    actbench.compress_training(model, method=method, ceiling="8x", bits="w32a2-8", calibration=images)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(2):
        with computing:
            loss = functional.cross_entropy(model(images).float(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    with computing:
        assert 2 * model.saved_bytes(images) < plain


def test_dropout_stays(model: Small, images: Tensor) -> None:
    model.drop.p = 0.5
    actbench.compress_training(model, method="hosvd", ceiling="8x", calibration=images)
    assert not torch.equal(model(images), model(images))


def test_a_copy_and_another_type(model: Small, images: Tensor) -> None:
    compressed = actbench.compress_training(model, method="group-quantize", ceiling="8x", calibration=images)
    copied = copy.deepcopy(compressed).double()
    gradients(copied, images.double())
    assert next(model.parameters()).grad is None
    assert next(copied.parameters()).grad is not None


def test_what_cannot_be_done_is_said(model: Small, images: Tensor) -> None:
    with pytest.raises(actbench.UserError, match="is not for training"):
        actbench.compress_training(model, method="prochan", ceiling="8x", calibration=images)
    with pytest.raises(actbench.UserError, match="is one sum"):
        actbench.compress_training(model, method="wcc", ceiling="live:8KiB", calibration=images)
    with pytest.raises(actbench.UserError, match="form of its own"):
        actbench.compress_training(model, method="checkpoint", ceiling="8x", calibration=images)
    assert type(model) is Small


def test_a_model_is_compressed_in_one_way_at_a_time(model: Small, images: Tensor) -> None:
    """Whichever came before is taken out first, so that the model's own class is what is left in the end."""
    model.eval()
    exact = model(images)
    settings = {"ceiling": "8x", "calibration": images}
    actbench.compress(model, method="quantize", **settings)
    actbench.compress_training(model, method="quantize", **settings)
    assert not isinstance(model, actbench.Compressed)
    assert torch.equal(model(images), exact)
    actbench.compress(model, method="quantize", **settings)
    assert not isinstance(model, actbench.CompressedTraining)
    assert type(actbench.restore(model)) is Small
    assert torch.equal(model(images), exact)
