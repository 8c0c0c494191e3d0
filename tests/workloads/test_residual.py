"""The network of `shapes` and its checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, fx, nn

from actbench.workloads.files import load_weights
from actbench.workloads.identify import checkpoint
from actbench.workloads.rendering import DEVIATION, EVALUATION_SEED, MEAN, RENDERER_VERSION, render
from actbench.workloads.train import TrainingSettings, save
from actbench.workloads.zoo.residual import ResidualNetwork

SHAPES = checkpoint("shapes")


@pytest.fixture
def network() -> ResidualNetwork:
    torch.manual_seed(0)
    return ResidualNetwork().eval()


def read_sizes(network: nn.Module) -> list[tuple[int, ...]]:
    """(C, H, W) of what every convolution reads, in the order of the calls."""
    sizes: list[tuple[int, ...]] = []

    def note(_: nn.Module, inputs: tuple[Tensor, ...], __: Tensor) -> None:
        sizes.append(tuple(inputs[0].shape[1:]))

    hooks = [module.register_forward_hook(note) for module in network.modules() if isinstance(module, nn.Conv2d)]
    with torch.no_grad():
        network(torch.zeros(1, 3, 64, 64))
    for hook in hooks:
        hook.remove()
    return sizes


def test_ten_outputs_an_image(network: ResidualNetwork) -> None:
    assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 10)


def test_is_small(network: ResidualNetwork) -> None:
    assert sum(parameter.numel() for parameter in network.parameters()) < 330_000


def test_can_be_traced(network: ResidualNetwork) -> None:
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(fx.symbolic_trace(network)(images), network(images))


def test_has_every_kind_of_convolution(network: ResidualNetwork) -> None:
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    kinds = {(convolution.kernel_size[0], convolution.stride[0]) for convolution in convolutions}
    assert kinds == {(1, 1), (1, 2), (3, 1), (3, 2)}


def test_reads_maps_of_the_documented_sizes(network: ResidualNetwork) -> None:
    sizes = read_sizes(network)
    assert sizes[0] == (3, 64, 64)
    assert {(32, 32, 32), (48, 32, 32), (64, 16, 16), (128, 8, 8)} <= set(sizes)
    assert max(channels * height * width for channels, height, width in sizes[1:]) == 48 * 32 * 32


def test_nonlinearities_are_modules_after_the_addition(network: ResidualNetwork) -> None:
    traced = fx.symbolic_trace(network)
    modules = dict(traced.named_modules())
    additions = [node for node in traced.graph.nodes if getattr(node.target, "__name__", "") == "add"]
    assert len(additions) == 6
    for addition in additions:
        assert [type(modules[user.target]) for user in addition.users] == [nn.ReLU]


def test_what_is_saved_is_what_is_loaded(network: ResidualNetwork, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save(network, path, TrainingSettings(images=1, epochs=1), "renderer:1")
    other = ResidualNetwork()
    load_weights(other, path)
    for name, value in network.state_dict().items():
        assert torch.equal(other.state_dict()[name], value)
    assert [file.name for file in path.parent.iterdir()] == ["weights.safetensors"]


def test_the_checkpoint_is_small_and_says_which_renderer_it_saw() -> None:
    assert SHAPES.stat().st_size < 1_500_000
    with safe_open(SHAPES, "pt") as file:
        assert file.metadata()["renderer"] == str(RENDERER_VERSION)
        tensors = [file.get_tensor(name) for name in file.keys()]  # noqa: SIM118
    assert all(tensor.dtype == torch.float32 for tensor in tensors if tensor.is_floating_point())


def test_the_checkpoint_reaches_its_accuracy(network: ResidualNetwork) -> None:
    """Clearly above a linear model's, and far enough below 100 % for a loss to show."""
    load_weights(network, SHAPES)
    scenes = render(500, EVALUATION_SEED)
    with torch.no_grad():
        right = network((scenes.images - MEAN) / DEVIATION).argmax(1) == scenes.labels
    assert 0.83 < right.float().mean() < 0.96
