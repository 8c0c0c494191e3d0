"""Nonlinearities and normalisations that save less: a ReLU needs one bit a value, a frozen normalisation nothing, and
one that trains its normalised input in 8 bits, or nothing where the convolution before it computes it again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from actbench.codec.packed_codes import pack_codes, unpack_codes


class MaskedReLU(nn.Module):
    """ReLU, or ReLU6, that saves where its gradient passes, one bit a value.

    torch's saves its output. A codec may not stand in for that: a low-rank copy of a ReLU's output has other zeros.
    """

    def __init__(self, most: float | None = None) -> None:
        super().__init__()
        self.most = most

    def forward(self, x: Tensor) -> Tensor:
        """Computes max(x, 0), and min(·, most) of it where there is one."""
        result: Tensor = _MaskedReLU.apply(x, self.most)  # type: ignore[no-untyped-call]
        return result


class _MaskedReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, most: float | None) -> Tensor:
        if ctx.needs_input_grad[0]:
            passes = x > 0 if most is None else (x > 0) & (x < most)
            ctx.save_for_backward(pack_codes(passes.flatten(), 1))
        return x.clamp(0, most)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        gradient = gradients[0]
        (packed,) = ctx.saved_tensors
        passes = unpack_codes(packed, gradient.numel(), 1, torch.bool).reshape(gradient.shape)
        return gradient * passes, None


class FrozenNorm(nn.Module):
    """A batch normalisation with the statistics of evaluation, and frozen: an affine map, which saves nothing."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        """Normalises (batch, C, H, W) → the same shape."""
        result: Tensor = _FrozenNorm.apply(x, self.norm)  # type: ignore[no-untyped-call]
        return result


class _FrozenNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, norm: nn.BatchNorm2d) -> Tensor:
        assert norm.running_var is not None
        scale = (norm.running_var + norm.eps).rsqrt()
        ctx.save_for_backward(scale if norm.weight is None else scale * norm.weight)
        result: Tensor = type(norm).forward(norm, x)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (scale,) = ctx.saved_tensors
        return gradients[0] * _wide(scale), None


class QuantisedNorm(nn.Module):
    """A batch normalisation on the batch's statistics that saves its normalised input in 8 bits, and for each channel
    the step and the deviation. Its output, and its running statistics, are exact."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        """Normalises (batch, C, H, W) → the same shape."""
        norm = self.norm
        if not norm.training:
            return type(norm).forward(norm, x)
        result: Tensor = _QuantisedNorm.apply(x, norm.weight, norm.bias, norm)  # type: ignore[no-untyped-call]
        return result


class _QuantisedNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, norm: nn.BatchNorm2d) -> Tensor:
        y, mean, inverse = batch_normalised(x, norm)
        normalised = (x - _wide(mean)) * _wide(inverse)
        step = (normalised.abs().amax((0, 2, 3)) / 127).clamp_min(1e-12)
        codes = (normalised / _wide(step)).round().to(torch.int8)
        ctx.save_for_backward(codes, step, inverse, weight)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        codes, step, inverse, weight = ctx.saved_tensors
        return *norm_gradients(gradients[0], codes * _wide(step), inverse, weight, ctx.needs_input_grad), None


def batch_normalised(x: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor, Tensor]:
    """Normalises x (batch, C, H, W) in training → the output, the batch's mean (C,) and 1/σ (C,); running statistics
    follow."""
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked += 1
    momentum = norm.momentum if norm.momentum is not None else 1 / int(norm.num_batches_tracked or 1)
    return torch.native_batch_norm(
        x, norm.weight, norm.bias, norm.running_mean, norm.running_var, True, momentum, norm.eps
    )


def norm_gradients(
    gradient: Tensor, normalised: Tensor, inverse: Tensor, weight: Tensor | None, wanted: Sequence[bool]
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Computes the gradients of a normalisation's input, weight and bias, the latter two where `wanted`.

    `∂L/∂x = (γ/σ)·(g − mean(g) − x̂·mean(g·x̂))`, with g `gradient`, x̂ the normalised input, and 1/σ `inverse`.
    """
    of_bias = gradient.sum((0, 2, 3))
    of_weight = (gradient * normalised).sum((0, 2, 3))
    count = gradient.numel() / len(inverse)
    scale = inverse if weight is None else inverse * weight
    of_input = gradient - _wide(of_bias / count) - normalised * _wide(of_weight / count)
    return of_input * _wide(scale), of_weight if wanted[1] else None, of_bias if wanted[2] else None


def _wide(channels: Tensor) -> Tensor:
    return channels[:, None, None]
