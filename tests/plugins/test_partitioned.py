"""The compiler's partitioner: the same training in less memory, and 8-bit floats as they are computed by hand."""

import copy

import pytest
import torch
from torch import Tensor, fx, nn

from actbench.codec import Unsupported
from actbench.measure.memory import peak_live_bytes
from actbench.training.ledger import saved_bytes
from actbench_plugins.partitioned.method import Float8, MemoryBudget


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.norm(self.conv(x)))


def network() -> fx.GraphModule:
    torch.manual_seed(0)
    return fx.symbolic_trace(nn.Sequential(*(Block() for _ in range(4))))


def images(step: int = 0, batch: int = 4) -> Tensor:
    return torch.randn(batch, 8, 16, 16, generator=torch.Generator().manual_seed(step))


def train(model: nn.Module, *batches: int) -> None:
    for step, batch in enumerate(batches):
        model.zero_grad()
        model(images(step, batch)).square().mean().backward()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter -= 0.1 * parameter.grad


def kept(model: nn.Module) -> int:
    with saved_bytes(model) as ledger:
        y = model(images())
        assert y.requires_grad
        return ledger.bytes


def budgeted(budget: float, module: fx.GraphModule | None = None) -> nn.Module:
    return MemoryBudget({"budget": budget}).training_form(module or network())


def test_training_is_the_same_with_its_statistics_for_batches_of_any_size() -> None:
    plain = network()
    form = budgeted(0.3, copy.deepcopy(plain))
    names = [name for name, _ in plain.named_parameters()]
    assert [name for name, _ in form.named_parameters()] == [f"module.{name}" for name in names]
    train(plain, 4, 2, 4), train(form, 4, 2, 4)
    for expected, value in zip(plain.state_dict().values(), form.state_dict().values(), strict=True):
        assert torch.allclose(value, expected, rtol=1e-5, atol=1e-6)
    plain.eval(), form.eval()
    assert torch.allclose(form(images()), plain(images()), rtol=1e-5, atol=1e-6)
    assert torch.equal(form(images()), form.module(images()))  # type: ignore[operator]


def test_less_is_kept_with_less_of_a_budget() -> None:
    whole, half, nothing = (kept(budgeted(budget)) for budget in (1.0, 0.5, 0.0))
    assert nothing < half < whole <= 1.01 * kept(network())
    assert half <= 0.6 * whole
    assert nothing <= images().nbytes * 1.01


def test_frozen_layers_get_no_gradient_and_the_others_theirs() -> None:
    plain = network()
    for name, parameter in plain.named_parameters():
        parameter.requires_grad_(name.startswith("3."))
    form = budgeted(0.5, copy.deepcopy(plain))
    for model in (plain, form):
        model(images()).square().mean().backward()
    for expected, value in zip(plain.parameters(), form.parameters(), strict=True):
        assert (value.grad is None) == (expected.grad is None)
        assert expected.grad is None or torch.allclose(value.grad, expected.grad, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("budget", [-0.1, 1.5])
def test_a_budget_is_a_share(budget: float) -> None:
    with pytest.raises(Unsupported, match="it is a share"):
        budgeted(budget)


@pytest.mark.parametrize("form", ["e5m2", "e4m3fn"])
def test_the_gradient_of_a_weight_is_that_of_the_rounded_input(form: str) -> None:
    """A row's values times 'largest number of the format / largest magnitude in the row', rounded to the format."""
    torch.manual_seed(1)
    first, second = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 4, 1)
    model = Float8({"format": form}).training_form(fx.symbolic_trace(nn.Sequential(first, nn.ReLU(), second)))
    model(images()).sum().backward()
    dtype = getattr(torch, f"float8_{form}")
    y = first(images()).relu()
    scale = torch.finfo(dtype).max / y.abs().amax(3, keepdim=True).clamp_min(1e-12)
    rounded = (y * scale).to(dtype).float() / scale
    expected = rounded.sum((0, 2, 3)).expand(4, -1)
    assert second.weight.grad is not None
    assert torch.allclose(second.weight.grad[:, :, 0, 0], expected, rtol=1e-4)
    assert not torch.allclose(second.weight.grad[:, :, 0, 0], y.sum((0, 2, 3)).expand(4, -1), rtol=1e-4)


def test_in_8_bits_much_less_is_kept_and_the_peak_falls() -> None:
    plain = network()
    form = Float8({"format": "e4m3fn"}).training_form(network())
    train(plain, 4), train(form, 4)
    assert kept(form) < kept(plain) / 2
    assert peak_live_bytes(lambda: train(form, 4)) < 0.8 * peak_live_bytes(lambda: train(plain, 4))
