"""What a method sets in torch is its own affair."""

import pytest
import torch

from actbench.harness.isolation.torch_state import torch_state_kept


def test_everything_is_as_it_was_and_named() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    with torch_state_kept() as changed:
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        torch.use_deterministic_algorithms(True)
        torch.set_float32_matmul_precision("medium")
        torch.set_default_device("meta")
        torch.manual_seed(99)
    assert changed == [
        "default dtype",
        "default device",
        "gradients",
        "deterministic algorithms",
        "precision of products",
    ]
    assert torch.equal(torch.rand(2), expected)
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()
    assert not torch.are_deterministic_algorithms_enabled()


def changes_and_fails() -> None:
    with torch_state_kept():
        torch.set_default_dtype(torch.float64)
        raise ZeroDivisionError


def test_also_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError):
        changes_and_fails()
    assert torch.get_default_dtype() == torch.float32


def test_what_changes_nothing_is_not_named() -> None:
    with torch_state_kept() as changed:
        torch.rand(3)
    assert changed == []
