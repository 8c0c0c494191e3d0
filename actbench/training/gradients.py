"""Comparison of the gradients of weights with the exact ones, layer by layer."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from actbench.records.parts.training import WeightGradient


def gradient_errors(
    compressed: nn.Module, vanilla: nn.Module, run: Callable[[nn.Module], Tensor]
) -> list[WeightGradient]:
    """Compares the gradients of two modules' weights; both have the same parameters in the same order. `run` gives the
    loss of a module on a fixed batch."""
    approximate, exact = _gradients(compressed, run), _gradients(vanilla, run)
    return [
        _error(name, approximation, gradient)
        for (name, gradient), approximation in zip(exact.items(), approximate.values(), strict=True)
        if gradient.dim() > 1
    ]


def _gradients(module: nn.Module, run: Callable[[nn.Module], Tensor]) -> dict[str, Tensor]:
    named = {name: p for name, p in module.named_parameters() if p.requires_grad}
    statistics = {name: buffer.clone() for name, buffer in module.named_buffers()}
    gradients = torch.autograd.grad(run(module), list(named.values()))
    for name, buffer in module.named_buffers():
        buffer.copy_(statistics[name])
    return dict(zip(named, gradients, strict=True))


def _error(name: str, approximation: Tensor, exact: Tensor) -> WeightGradient:
    approximation, exact = approximation.double().flatten(), exact.double().flatten()
    cosine = float(functional.cosine_similarity(approximation, exact, dim=0))
    relative = float((approximation - exact).norm() / exact.norm().clamp_min(1e-30))
    return WeightGradient(name=name, cosine=cosine, relative_error=relative)
