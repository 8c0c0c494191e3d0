"""Layers that save their input compressed. What they compute is exact, and so is the gradient that they pass on; the
gradient of their weights comes from what was saved."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn import functional

from actbench.codec.codec import Codec
from actbench.codec.packed_payload import PackedPayload
from actbench.codec.payload import Payload
from actbench.codec.protocols import TrainingCodec

Work = Literal["encode", "gradient"]
Watch = Callable[[Work], AbstractContextManager[object]]

_NOTHING = PackedPayload.of(Payload())
"""What a layer saves whose weight has no gradient."""


class SavedInput(nn.Module):
    """Saved input of all layers that read a tensor: encoded once, however many they are.

    The tensor is known by its storage, version and layout while the storage lives, not by its address. `watch` is
    entered around encoding, and around what the weights' gradients cost; `tell` is called with every payload.
    """

    def __init__(self, codec: Codec) -> None:
        super().__init__()
        self.codec = codec.requires_grad_(False)
        self.watch: Watch = lambda work: nullcontext()
        self.tell: Callable[[Payload], None] = lambda payload: None
        self._last: tuple[StorageWeakRef, object, PackedPayload] | None = None

    def save(self, x: Tensor) -> PackedPayload:
        """Encodes x, and packs its payload into as few bytes as it claims bits."""
        storage, identity = x.untyped_storage(), _identity(x)
        if self._last is not None and not self._last[0].expired() and self._last[1] == identity:
            return self._last[2]
        with self.watch("encode"), torch.no_grad(), torch.autocast(x.device.type, enabled=False):
            payload = self.codec.encode(_unhalved(x.detach()))
            packed = PackedPayload.of(payload)
        self.tell(payload)
        self._last = (StorageWeakRef(storage), identity, packed)
        return packed

    @contextmanager
    def payload(self, packed: PackedPayload) -> Iterator[Payload]:
        """Yields the payload that `save` packed, for the gradient that is computed from it inside."""
        self.forget()
        with self.watch("gradient"):
            yield packed.payload()

    def forget(self) -> None:
        """Forgets the payload of the tensor that was saved last."""
        self._last = None


@contextmanager
def watched(model: nn.Module, watch: Watch) -> Iterator[None]:
    """Enters `watch`, inside this context, around all that is encoded and all gradients of weights from payloads."""
    inputs = [module for module in model.modules() if isinstance(module, SavedInput)]
    previous = [saved.watch for saved in inputs]
    for saved in inputs:
        saved.watch = watch
    try:
        yield
    finally:
        for saved, restored in zip(inputs, previous, strict=True):
            saved.watch = restored


class CompressedConv2d(nn.Module):
    """A convolution with an input that is saved as a codec's payload."""

    def __init__(self, convolution: nn.Conv2d, saved: SavedInput) -> None:
        super().__init__()
        self.convolution = convolution
        self.saved = saved

    def forward(self, x: Tensor) -> Tensor:
        """Convolves (batch, C, H, W) → (batch, C', H', W')."""
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
        """Computes the layer's (…, in) → (…, out)."""
        layer = self.linear
        result: Tensor = _Linear.apply(x, layer.weight, layer.bias, layer, self.saved)  # type: ignore[no-untyped-call]
        return result


class HookedLayer(nn.Module):
    """Any other layer: of what autograd saves while it runs, the layer's input is kept as a codec's payload.

    Of nested hooks only the innermost sees a tensor; `tell` is called with all that is kept here.
    """

    def __init__(self, layer: nn.Module, saved: SavedInput) -> None:
        super().__init__()
        self.layer = layer
        self.saved = saved
        self.tell: Callable[[Tensor], None] = lambda tensor: None

    def forward(self, x: Tensor) -> Tensor:
        """Computes what the layer computes."""
        input_identity = _identity(x)

        def pack(tensor: Tensor) -> tuple[Tensor | PackedPayload, torch.dtype]:
            is_input = _identity(tensor) == input_identity
            kept = self.saved.save(tensor) if is_input else tensor.detach()
            for part in kept.tensors if isinstance(kept, PackedPayload) else (kept,):
                self.tell(part)
            return kept, tensor.dtype

        def unpack(packed: tuple[Tensor | PackedPayload, torch.dtype]) -> Tensor:
            kept, dtype = packed
            if isinstance(kept, Tensor):
                return kept
            with torch.no_grad(), self.saved.payload(kept) as payload:
                return self.saved.codec.decode(payload).to(dtype)

        with saved_tensors_hooks(pack, unpack):
            return compute(self.layer, x)


def compute(layer: nn.Module, x: Tensor) -> Tensor:
    """Computes what the layer's class computes, whatever stands in for it, and without the layer's hooks."""
    result: Tensor = type(layer).forward(layer, x)
    return result


class _Conv2d(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, layer: nn.Conv2d, saved: SavedInput
    ) -> Tensor:
        ctx.layer, ctx.saved, ctx.shape = layer, saved, x.shape
        packed = saved.save(x) if weight.requires_grad else _NOTHING
        ctx.form = packed.form
        ctx.save_for_backward(weight, *packed.tensors)
        return convolve(x, layer)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        weight, *tensors = ctx.saved_tensors
        gradient, wanted = gradients[0], ctx.needs_input_grad
        of_weight = None
        if wanted[1]:
            with ctx.saved.payload(PackedPayload(tuple(tensors), ctx.form)) as payload:
                of_weight = conv_weight_gradient(ctx.saved.codec, payload, gradient, ctx.layer)
        # Without the input's values only its shape matters: the other gradients do not depend on them.
        x = gradient.new_zeros(()).expand(ctx.shape)
        of_input, _, of_bias = convolution_backward(gradient, x, weight, ctx.layer, (wanted[0], False, wanted[2]))
        return of_input, of_weight, of_bias, None, None


def convolve(x: Tensor, layer: nn.Conv2d) -> Tensor:
    """Convolves x as the layer does, without the layer's hooks."""
    result: Tensor = layer._conv_forward(x, layer.weight, layer.bias)
    return result


def conv_weight_gradient(codec: Codec, payload: Payload, gradient: Tensor, layer: nn.Conv2d) -> Tensor:
    """Computes the gradient of a convolution's weight, from the payload where the codec can, else from the decoded
    map."""
    gradient = _unhalved(gradient)
    if isinstance(codec, TrainingCodec):
        direct = codec.convolution_weight_gradient(payload, gradient, layer)
        if direct is not None:
            return direct
    x = codec.decode(payload).to(gradient.dtype)
    _, of_weight, _ = convolution_backward(gradient, x, layer.weight, layer, (False, True, False))
    assert of_weight is not None
    return of_weight


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, layer: nn.Linear, saved: SavedInput
    ) -> Tensor:
        ctx.layer, ctx.saved = layer, saved
        packed = saved.save(x) if weight.requires_grad else _NOTHING
        ctx.form = packed.form
        ctx.save_for_backward(weight, *packed.tensors)
        return functional.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        weight, *tensors = ctx.saved_tensors
        gradient, wanted = gradients[0], ctx.needs_input_grad
        of_weight = None
        if wanted[1]:
            with ctx.saved.payload(PackedPayload(tuple(tensors), ctx.form)) as payload:
                of_weight = _linear_weight_gradient(ctx.saved.codec, payload, gradient)
        of_bias = gradient.flatten(0, -2).sum(0) if wanted[2] else None
        return gradient @ weight if wanted[0] else None, of_weight, of_bias, None, None


def _linear_weight_gradient(codec: Codec, payload: Payload, gradient: Tensor) -> Tensor:
    gradient = _unhalved(gradient)
    if isinstance(codec, TrainingCodec):
        direct = codec.linear_weight_gradient(payload, gradient)
        if direct is not None:
            return direct
    x = codec.decode(payload).to(gradient.dtype)
    return gradient.flatten(0, -2).T @ x.reshape(-1, x.shape[-1])


def _unhalved(x: Tensor) -> Tensor:
    """What autocast has in half of fp32's width, in fp32: codecs are fitted, and compute, in no less."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def _identity(x: Tensor) -> tuple[object, ...]:
    return x.untyped_storage()._cdata, x._version, x.shape, x.stride(), x.storage_offset()


def _padded(x: Tensor, layer: nn.Conv2d) -> tuple[Tensor, tuple[int, int]]:
    """Pads the input where the padding is not a number of zeros on either side → the input, and what is left to pad."""
    if layer.padding_mode == "zeros" and not isinstance(layer.padding, str):
        return x, (int(layer.padding[0]), int(layer.padding[1]))
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    return functional.pad(x, layer._reversed_padding_repeated_twice, mode=mode), (0, 0)


def convolution_backward(
    gradient: Tensor, x: Tensor, weight: Tensor, layer: nn.Conv2d, wanted: tuple[bool, bool, bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Computes the gradients of a convolution's input, weight and bias, None where not `wanted`, as autograd does: in
    the gradient's type, which is half of fp32's width where autocast ran the convolution in that."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        padded, padding = _padded(x, layer)
    of_input, of_weight, of_bias = torch.ops.aten.convolution_backward(
        gradient,
        padded.detach(),
        weight.to(gradient.dtype),
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
