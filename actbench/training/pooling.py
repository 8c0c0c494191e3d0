"""Maximum pooling that saves, of each value, where in its window it comes from."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from actbench.codec.packed_codes import pack_codes, unpack_codes


class IndexedMaxPool(nn.Module):
    """Maximum pooling over windows of at most 16×16 that saves ⌈log₂(kh·kw)⌉ bits a value: its place in the window.
    torch's saves its input, and an index of 64 bits a value."""

    def __init__(self, pool: nn.MaxPool2d) -> None:
        super().__init__()
        self.kernel, self.stride = _pair(pool.kernel_size), _pair(pool.stride)
        self.padding, self.dilation = _pair(pool.padding), _pair(pool.dilation)
        self.ceil_mode = pool.ceil_mode

    @staticmethod
    def stands_in_for(layer: nn.Module) -> bool:
        """Whether it can compute what a layer does."""
        if not isinstance(layer, nn.MaxPool2d) or layer.return_indices:
            return False
        height, width = _pair(layer.kernel_size)
        return height * width <= 256

    def forward(self, x: Tensor) -> Tensor:
        """Pools (batch, C, H, W) → (batch, C, H', W')."""
        result: Tensor = _IndexedMaxPool.apply(x, self)  # type: ignore[no-untyped-call]
        return result

    def places(self, indices: Tensor, width: int) -> Tensor:
        """Turns indices into planes of a width, (..., H', W'), into places in their windows, 0 to kh·kw − 1."""
        top, left = self._corners(indices)
        rows = (indices // width - top) // self.dilation[0]
        return rows * self.kernel[1] + (indices % width - left) // self.dilation[1]

    def indices(self, places: Tensor, width: int) -> Tensor:
        """Turns places in windows into indices again."""
        top, left = self._corners(places)
        rows = top + places // self.kernel[1] * self.dilation[0]
        return rows * width + left + places % self.kernel[1] * self.dilation[1]

    def _corners(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Rows and columns at which windows begin, (H', 1) and (W',)."""
        rows, columns = (torch.arange(size, device=like.device) for size in like.shape[-2:])
        return (rows * self.stride[0] - self.padding[0])[:, None], columns * self.stride[1] - self.padding[1]


class _IndexedMaxPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, pool: IndexedMaxPool) -> Tensor:
        form = pool.kernel, pool.stride, pool.padding, pool.dilation, pool.ceil_mode
        pooled, indices = functional.max_pool2d(x, *form, return_indices=True)
        if ctx.needs_input_grad[0]:
            ctx.pool, ctx.shape, ctx.bits = pool, x.shape, max(1, (pool.kernel[0] * pool.kernel[1] - 1).bit_length())
            ctx.save_for_backward(pack_codes(pool.places(indices, x.shape[-1]).flatten(), ctx.bits))
        return pooled

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (packed,), gradient = ctx.saved_tensors, gradients[0]
        places = unpack_codes(packed, gradient.numel(), ctx.bits, torch.int64).reshape(gradient.shape)
        indices = ctx.pool.indices(places, ctx.shape[-1])
        planes = gradient.new_zeros(*ctx.shape[:-2], ctx.shape[-2] * ctx.shape[-1])
        return planes.scatter_add_(-1, indices.flatten(-2), gradient.flatten(-2)).reshape(ctx.shape), None


def _pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])
