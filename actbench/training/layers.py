"""Layers that save their input compressed. What they compute is exact, and so is the gradient that they pass on; the
gradient of their weights comes from what was saved."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn import functional

from actbench.method import Codec
from actbench.training.compact import Form, compact, expand


class SavedInput(nn.Module):
    """What all layers that read a tensor save of it: encoded once, however many they are.

    The tensor is known by its storage, version and layout while the storage lives, not by its address.
    """

    def __init__(self, codec: Codec) -> None:
        super().__init__()
        self.codec = codec.requires_grad_(False)
        self._last: tuple[StorageWeakRef, object, list[Tensor], Form] | None = None

    def save(self, x: Tensor) -> tuple[list[Tensor], Form]:
        """The payload of x in as few bytes as it claims bits."""
        storage = x.untyped_storage()
        identity = (storage._cdata, x._version, x.shape, x.stride(), x.storage_offset())
        if self._last is not None and not self._last[0].expired() and self._last[1] == identity:
            return self._last[2], self._last[3]
        with torch.no_grad():
            tensors, form = compact(self.codec.encode(x.detach()))
        self._last = (StorageWeakRef(storage), identity, tensors, form)
        return tensors, form

    def forget(self) -> None:
        """Lets go of the last tensor's payload."""
        self._last = None


class CompressedConv2d(nn.Module):
    """A convolution with an input that is saved as a codec's payload."""

    def __init__(self, convolution: nn.Conv2d, saved: SavedInput) -> None:
        super().__init__()
        self.convolution = convolution
        self.saved = saved

    def forward(self, x: Tensor) -> Tensor:
        """(batch, C, H, W) → (batch, C', H', W')"""
        layer = self.convolution
        result: Tensor = _Conv2d.apply(x, layer.weight, layer.bias, layer, self.saved)  # type: ignore[no-untyped-call]
        return result


class CompressedLinear(nn.Module):
    """A linear layer on (…, in) with an input that is saved as a codec's payload."""

    def __init__(self, linear: nn.Linear, saved: SavedInput) -> None:
        super().__init__()
        self.linear = linear
        self.saved = saved

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) → (…, out)"""
        layer = self.linear
        result: Tensor = _Linear.apply(x, layer.weight, layer.bias, layer, self.saved)  # type: ignore[no-untyped-call]
        return result


class _Conv2d(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, layer: nn.Conv2d, saved: SavedInput
    ) -> Tensor:
        ctx.layer, ctx.saved, ctx.shape = layer, saved, x.shape
        tensors, ctx.form = saved.save(x) if weight.requires_grad else ([], ())
        ctx.save_for_backward(weight, *tensors)
        padded, padding = _padded(x, layer)
        return functional.conv2d(padded, weight, bias, layer.stride, padding, layer.dilation, layer.groups)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        weight, *tensors = ctx.saved_tensors
        gradient, (of_input, of_weight, of_bias) = gradients[0], ctx.needs_input_grad[:3]
        direct, x = None, None
        if of_weight:
            ctx.saved.forget()
            payload = expand(tensors, ctx.form)
            direct = ctx.saved.codec.conv_weight_grad(payload, gradient, ctx.layer)
            x = None if direct is not None else ctx.saved.codec.decode(payload).to(gradient.dtype)
        # Without the input's values only its shape matters: the other gradients do not depend on them.
        x = gradient.new_zeros(()).expand(ctx.shape) if x is None else x
        wanted = (of_input, of_weight and direct is None, of_bias)
        found = _convolution_backward(gradient, x, weight, ctx.layer, wanted)
        return found[0], found[1] if direct is None else direct, found[2], None, None


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, layer: nn.Linear, saved: SavedInput
    ) -> Tensor:
        ctx.layer, ctx.saved = layer, saved
        tensors, ctx.form = saved.save(x) if weight.requires_grad else ([], ())
        ctx.save_for_backward(weight, *tensors)
        return functional.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        weight, *tensors = ctx.saved_tensors
        gradient, wanted = gradients[0], ctx.needs_input_grad
        of_weight = None
        if wanted[1]:
            ctx.saved.forget()
            payload = expand(tensors, ctx.form)
            of_weight = ctx.saved.codec.linear_weight_grad(payload, gradient)
            if of_weight is None:
                decoded = ctx.saved.codec.decode(payload).to(gradient.dtype)
                of_weight = gradient.flatten(0, -2).T @ decoded.reshape(-1, decoded.shape[-1])
        of_bias = gradient.flatten(0, -2).sum(0) if wanted[2] else None
        return gradient @ weight if wanted[0] else None, of_weight, of_bias, None, None


def _padded(x: Tensor, layer: nn.Conv2d) -> tuple[Tensor, tuple[int, int]]:
    """The input and the padding that is left for the convolution: what is not a number of zeros on either side is
    padded here."""
    if layer.padding_mode == "zeros" and not isinstance(layer.padding, str):
        return x, (int(layer.padding[0]), int(layer.padding[1]))
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    return functional.pad(x, layer._reversed_padding_repeated_twice, mode=mode), (0, 0)


def _convolution_backward(
    gradient: Tensor, x: Tensor, weight: Tensor, layer: nn.Conv2d, wanted: tuple[bool, bool, bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Of input, weight and bias; None where not wanted. The same call as autograd's own."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        padded, padding = _padded(x, layer)
    of_input, of_weight, of_bias = torch.ops.aten.convolution_backward(
        gradient,
        padded.detach(),
        weight,
        [len(weight)],
        layer.stride,
        padding,
        layer.dilation,
        False,
        [0, 0],
        layer.groups,
        wanted,
    )
    if wanted[0] and padded is not x:
        (of_input,) = torch.autograd.grad(padded, x, of_input)
    return of_input, of_weight, of_bias
