"""Checkpointing trains as torch does, and keeps less."""

import copy

import pytest
import torch
from torch import Tensor, fx, nn

from actbench.codec import Unsupported
from actbench.measure.memory import peak_live_bytes
from actbench.registry import load_plugins
from actbench.training.ledger import saved_bytes
from actbench_plugins.checkpoint.method import Checkpointing, Offloading
from actbench_plugins.checkpoint.segments import Segmented, root_of_layers


class Block(nn.Module):
    def __init__(self, momentum: float | None) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8, momentum=momentum)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.norm(self.conv(x)))


def network(momentum: float | None = 0.1) -> fx.GraphModule:
    torch.manual_seed(0)
    return fx.symbolic_trace(nn.Sequential(*(Block(momentum) for _ in range(6)), nn.Dropout(0.2)))


def images(step: int = 0) -> Tensor:
    return torch.randn(4, 8, 16, 16, generator=torch.Generator().manual_seed(step))


def train(model: nn.Module) -> None:
    torch.manual_seed(5)
    for step in range(3):
        model.zero_grad()
        model(images(step)).square().mean().backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= 0.1 * parameter.grad


@pytest.mark.parametrize("segments", [1, 2, 5, 100])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_training_is_bit_exact_with_its_statistics(segments: int, momentum: float | None) -> None:
    plain = network(momentum)
    segmented = Segmented(copy.deepcopy(plain), segments)
    train(plain), train(segmented)
    for expected, value in zip(plain.state_dict().values(), segmented.state_dict().values(), strict=True):
        assert torch.equal(value, expected)
    plain.eval(), segmented.eval()
    assert torch.equal(segmented(images()), plain(images()))
    names = [name for name, _ in plain.named_parameters()]
    assert [name for name, _ in segmented.named_parameters()] == [f"module.{name}" for name in names]


def test_less_is_kept_and_the_peak_falls() -> None:
    def kept(model: nn.Module) -> int:
        with saved_bytes(model) as ledger:
            y = model(images())
            assert y.requires_grad
            return ledger.bytes

    plain = network()
    segmented = Segmented(network(), root_of_layers(plain))
    assert root_of_layers(plain) == 5
    assert kept(segmented) < kept(plain) / 2
    assert peak_live_bytes(lambda: train(segmented)) < 0.8 * peak_live_bytes(lambda: train(plain))


def test_frozen_layers_before_the_first_trained_one_are_run_as_ever() -> None:
    plain = network()
    for name, parameter in plain.named_parameters():
        parameter.requires_grad_(name.startswith(("4.", "5.")))
    segmented = Segmented(copy.deepcopy(plain), 2)

    def step(model: nn.Module) -> None:
        torch.manual_seed(5)
        model(images()).square().mean().backward()

    step(plain), step(segmented)
    for expected, value in zip(plain.parameters(), segmented.parameters(), strict=True):
        assert (value.grad is None) == (expected.grad is None)
        assert expected.grad is None or torch.equal(value.grad, expected.grad)
    assert peak_live_bytes(lambda: step(segmented)) <= peak_live_bytes(lambda: step(plain))


def test_the_method_takes_its_number_of_segments_from_the_option() -> None:
    info = load_plugins().method("checkpoint")
    form = Checkpointing(info.resolve({"segments": 3})).training_form(network())
    assert isinstance(form, Segmented)
    assert sum(1 for _ in form._segments[0].children()) == 3


def test_on_a_cpu_there_is_nothing_to_offload() -> None:
    with pytest.raises(Unsupported, match="for --device cuda"):
        Offloading({}).training_form(network())


@pytest.mark.gpu
def test_offloading_keeps_nothing_on_the_gpu() -> None:
    plain = network().cuda()
    offloaded = Offloading({}).training_form(copy.deepcopy(plain))
    with saved_bytes(offloaded) as ledger:
        y = offloaded(images().cuda())
        assert ledger.bytes == 0
    torch.manual_seed(5)
    assert y.requires_grad
