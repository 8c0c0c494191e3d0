"""A map stored as its core in a subspace that is the same for all images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.grad import conv2d_weight
from typing_extensions import override

from actbench.codec import Codec, Payload, PlainCodec, UniformQuantizer
from actbench.codec.quantizers import at_least_fp32
from actbench.feature_map import FLOAT_BITS
from actbench.info import OptionValue
from actbench_plugins.lance.subspace import planes, projected

_SMALLEST = 1e-6
"""The least scale of a core's entry, relative to the largest."""


class FixedCore(Codec):
    """Stores of each image the core (K_1, K_2, K_3) in fixed factors: `width·K_1·K_2·K_3` bits. Factors, a scale for
    each of the core's entries, and the ends of the one clip of all scaled entries are static tables."""

    channels: Tensor
    rows: Tensor
    columns: Tensor
    scales: Tensor | None

    def __init__(self, factors: Sequence[Tensor], core: PlainCodec, scales: Tensor | None = None) -> None:
        """`factors` (n_i, K_i) are orthonormal; `core` stores cores divided by `scales` (K_1, K_2, K_3)."""
        super().__init__()
        for name, factor in zip(("channels", "rows", "columns"), factors, strict=True):
            self.register_buffer(name, factor.contiguous())
        self.register_buffer("scales", scales)
        self.core = core

    @classmethod
    def calibrated(cls, factors: Sequence[Tensor], width: int, sample: Tensor) -> FixedCore:
        """The codec whose scales are the root mean squares of a sample's cores, and whose clip has the least squared
        error on these; `width` 32 means neither."""
        if width == FLOAT_BITS:
            return cls(factors, PlainCodec(None))
        cores = projected(sample, factors)
        scales = cores.square().mean(0).sqrt()
        scales = scales.clamp_min(float(scales.max()) * _SMALLEST).clamp_min(1e-30)
        return cls(factors, PlainCodec(UniformQuantizer.calibrated(width, cores / scales)), scales)

    @override
    def encode(self, x: Tensor) -> Payload:
        exact = at_least_fp32(x)
        core = projected(exact, [factor.to(exact) for factor in (self.channels, self.rows, self.columns)])
        return self.core.encode((core if self.scales is None else core / self.scales).to(x.dtype))

    @override
    def decode(self, payload: Payload) -> Tensor:
        core, dtype = self._core(payload)
        maps = planes(core, self.rows.to(core), self.columns.to(core))
        return torch.einsum("nahw,ca->nchw", maps, self.channels.to(core)).to(dtype)

    def convolution_weight_gradient(self, payload: Payload, gradient: Tensor, convolution: nn.Conv2d) -> Tensor | None:
        """The gradient of a convolution's weight: that of a convolution of K_1 channels, `Z` for the input
        `S ×_2 U_2 ×_3 U_3`, and `∂L/∂W = Z ×_1 U_1`."""
        if convolution.groups > 1 or convolution.padding_mode != "zeros" or isinstance(convolution.padding, str):
            return None
        core, _ = self._core(payload)
        x = planes(core, self.rows.to(core), self.columns.to(core))
        shape = (gradient.shape[1], x.shape[1], *convolution.kernel_size)
        stride, padding, dilation = convolution.stride, convolution.padding, convolution.dilation
        z = conv2d_weight(x, shape, gradient.to(x.dtype), stride, padding, dilation)
        return torch.einsum("oahw,ca->ochw", z, self.channels.to(z)).to(gradient.dtype)

    def linear_weight_gradient(self, payload: Payload, gradient: Tensor) -> Tensor | None:
        """None: a linear layer's input is decoded."""
        return None

    @override
    def describe(self) -> dict[str, OptionValue]:
        channels, rows, columns = (factor.shape[1] for factor in (self.channels, self.rows, self.columns))
        return {"channels": channels, "rows": rows, "columns": columns} | self.core.describe()

    def _core(self, payload: Payload) -> tuple[Tensor, torch.dtype]:
        """The cores that are stored, in fp32 or fp64, and the map's type."""
        stored = self.core.decode(payload)
        core = at_least_fp32(stored)
        return core if self.scales is None else core * self.scales.to(core), stored.dtype
