"""How far the gradients of weights are from the exact ones, layer by layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class GradientError:
    """Of one weight: the cosine of the angle to the exact gradient, and the error's norm relative to its norm."""

    name: str
    cosine: float
    relative_error: float


def gradient_errors(
    compressed: nn.Module, vanilla: nn.Module, run: Callable[[nn.Module], Tensor]
) -> list[GradientError]:
    """`run` gives the loss of a module on a fixed batch. Both modules have the same parameters in the same order."""
    own, exact = _gradients(compressed, run), _gradients(vanilla, run)
    return [
        _error(name, own_gradient, gradient)
        for (name, gradient), own_gradient in zip(exact.items(), own.values(), strict=True)
        if gradient.dim() > 1
    ]


def _gradients(module: nn.Module, run: Callable[[nn.Module], Tensor]) -> dict[str, Tensor]:
    named = {name: p for name, p in module.named_parameters() if p.requires_grad}
    statistics = {name: buffer.clone() for name, buffer in module.named_buffers()}
    found = torch.autograd.grad(run(module), list(named.values()))
    for name, buffer in module.named_buffers():
        buffer.copy_(statistics[name])
    return dict(zip(named, found, strict=True))


def _error(name: str, own: Tensor, exact: Tensor) -> GradientError:
    a, b = own.double().flatten(), exact.double().flatten()
    cosine = float(functional.cosine_similarity(a, b, dim=0))
    return GradientError(name, cosine, float((a - b).norm() / b.norm().clamp_min(1e-30)))
