"""A convolution of codes in integers, as processors have kernels for it.

    x = step·q + low,   w = s_o·k   →   Σ w·x + b = s_o·step·Σ k·q + (b + low·Σ w)

for unsigned codes q and signed weights k of at most 8 bits: sums of their products are exact in 32 bits, and only the
result is rounded to fp32.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import cast

import torch
from torch import Tensor, nn
from typing_extensions import override

from actbench.codec.quantizers import UniformQuantizer

LARGEST_CODE, LARGEST_WEIGHT = 255, 127
_PAIR = (1 << 15) - 1
"""The most that two products together may be where kernels add them up in 16 bits: x86 without VNNI."""


@dataclass(frozen=True)
class Kernels:
    """What the processor offers. `name`: the library, and the instructions it has found. `product`: the largest product
    of a code and a weight that is summed exactly."""

    name: str
    product: int


@cache
def kernels() -> Kernels | None:
    """The kernels of this processor, tried on the largest sums; None where there are none."""
    codes = torch.full((1, 64, 3, 3), LARGEST_CODE, dtype=torch.uint8)
    weights = torch.full((16, 64, 3, 3), LARGEST_WEIGHT, dtype=torch.int8)
    try:
        packed = _packed(weights, torch.ones(16), nn.Conv2d(64, 16, 3, device="meta"))
        result = _convolve(codes, packed, 1.0, torch.ones(16), None, nn.Conv2d(64, 16, 3, device="meta"), (0, 0))
    except (AttributeError, NotImplementedError, RuntimeError):
        return None
    exact = bool((result == weights[0].numel() * LARGEST_CODE * LARGEST_WEIGHT).all())
    name = f"onednn, {torch.backends.cpu.get_cpu_capability()}"
    return Kernels(name, LARGEST_CODE * LARGEST_WEIGHT) if exact else Kernels(f"{name} without VNNI", _PAIR // 2)


class Dequantized(nn.Module):
    """What codes of a quantiser stand for: `step·q + low`."""

    def __init__(self, quantizer: UniformQuantizer) -> None:
        super().__init__()
        self.low, self.step = quantizer.low.item(), quantizer.step.item()
        self.dtype = quantizer.high.dtype

    @override
    def forward(self, codes: Tensor) -> Tensor:
        return codes.to(self.dtype).mul_(self.step).add_(self.low)


class IntegerConvolution(nn.Conv2d):
    """A convolution that reads a map's codes (batch, C, H, W) uint8. Called, it computes in fp32 what they stand for;
    `convolve` computes the same in integers."""

    def __init__(self, layer: nn.Conv2d, quantizer: UniformQuantizer, weights: Tensor, steps: Tensor) -> None:
        """Reads what `quantizer` encodes. `weights` int8 times `steps` (out,) are those of the layer."""
        super().__init__(
            layer.in_channels,
            layer.out_channels,
            cast("tuple[int, int]", layer.kernel_size),
            cast("tuple[int, int]", layer.stride),
            cast("tuple[int, int]", layer.padding),
            cast("tuple[int, int]", layer.dilation),
            layer.groups,
            device="meta",
        )
        self.weight, self.bias = layer.weight, layer.bias
        self.decoded = Dequantized(quantizer)
        offset = self.decoded.low * layer.weight.detach().sum((1, 2, 3))
        self._steps, self._packed = steps, _packed(weights, steps, layer)
        self._offset = offset if layer.bias is None else layer.bias.detach() + offset

    @override
    def forward(self, input: Tensor) -> Tensor:
        """Convolves what the codes stand for."""
        return super().forward(self.decoded(input))

    def convolve(self, codes: Tensor, padding: tuple[int, int]) -> Tensor:
        """Convolves codes, padded above and below and on both sides with so many zeros."""
        return _convolve(codes, self._packed, self.decoded.step, self._steps, self._offset, self, padding)


def _packed(weights: Tensor, steps: Tensor, layer: nn.Conv2d) -> Tensor:
    """Weights in the order that kernels read them in, for maps of any size."""
    strides, dilation = list(layer.stride), list(layer.dilation)
    sizes = (16 + rate * size for size, rate in zip(layer.kernel_size, dilation, strict=True))
    packed: Tensor = torch.ops.onednn.qconv_prepack(
        weights, steps, 1.0, 0, strides, [0, 0], dilation, layer.groups, [1, layer.in_channels, *sizes]
    )
    return packed


def _convolve(
    codes: Tensor,
    packed: Tensor,
    step: float,
    steps: Tensor,
    bias: Tensor | None,
    layer: nn.Conv2d,
    padding: tuple[int, int],
) -> Tensor:
    zeros = torch.zeros(len(steps), dtype=torch.int32)
    form = (list(layer.stride), list(padding), list(layer.dilation), layer.groups)
    # Kernels read channels last, and take longer to reorder the codes themselves.
    read = codes.contiguous(memory_format=torch.channels_last)
    result: Tensor = torch.ops.onednn.qconv2d_pointwise(
        read, step, 0, packed, steps, zeros, bias, *form, 1.0, 0, torch.float32, "none", [], ""
    )
    return result
