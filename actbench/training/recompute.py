"""Normalisation that saves nothing: backward computes its input again, by the convolution before it, from what that
convolution saved. The codec's error reaches the gradient that is passed on; without a codec's error it is exact."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from actbench.codec.packed_payload import PackedPayload
from actbench.training.activations import batch_normalised, norm_gradients
from actbench.training.layers import SavedInput, conv_weight_gradient, convolution_backward, convolve


class NormalisedConv2d(nn.Module):
    """A convolution with a compressed input, and the batch normalisation behind it, as one."""

    def __init__(self, convolution: nn.Conv2d, norm: nn.BatchNorm2d, saved: SavedInput) -> None:
        super().__init__()
        self.convolution = convolution
        self.saved = saved
        self._norm = (norm,)  # a part of NormalisedBefore, which keeps parameters in their order

    def forward(self, x: Tensor) -> Tensor:
        """Convolves (batch, C, H, W) → (batch, C', H', W'), and normalises that."""
        layer, (norm,) = self.convolution, self._norm
        if not norm.training:
            return norm(convolve(x, layer))  # type: ignore[no-any-return]
        parameters = (layer.weight, layer.bias, norm.weight, norm.bias)
        result: Tensor = _NormalisedConv2d.apply(x, *parameters, self)  # type: ignore[no-untyped-call]
        return result


class NormalisedBefore(nn.Module):
    """Identity in the place of a normalisation that a NormalisedConv2d has done already."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        """Returns x."""
        return x


class _NormalisedConv2d(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, *parameters: Any) -> Tensor:
        weight, _, gamma, _, module = parameters
        ctx.module, ctx.shape = module, x.shape
        y, mean, inverse = batch_normalised(convolve(x, module.convolution), module._norm[0])
        packed = module.saved.save(x)
        ctx.form = packed.form
        ctx.save_for_backward(weight, gamma, mean, inverse, *packed.tensors)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        weight, gamma, mean, inverse, *tensors = ctx.saved_tensors
        saved, layer, wanted = ctx.module.saved, ctx.module.convolution, ctx.needs_input_grad
        saved.forget()
        payload = PackedPayload(tuple(tensors), ctx.form).payload()
        with saved.watch("gradient"):
            again = convolve(saved.codec.decode(payload).to(gradients[0].dtype), layer)
        normalised = (again - mean[:, None, None]) * inverse[:, None, None]
        gradient, of_gamma, of_beta = norm_gradients(gradients[0], normalised, inverse, gamma, wanted[2:5])
        with saved.watch("gradient"):
            of_weight = conv_weight_gradient(saved.codec, payload, gradient, layer) if wanted[1] else None
        x = gradient.new_zeros(()).expand(ctx.shape)
        of_input, _, of_bias = convolution_backward(gradient, x, weight, layer, (wanted[0], False, wanted[2]))
        return of_input, of_weight, of_bias, of_gamma, of_beta, None
