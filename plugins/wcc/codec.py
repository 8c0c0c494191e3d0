"""The WCC codec: Haar, joint top-k, quantisation; and 1×1 convolutions on what is stored."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from actbench.feature_map import FLOAT_BITS
from actbench.info import OptionValue
from actbench.method import Codec, FeatureMap
from actbench.payload import Payload, floating, unsigned
from actbench.quantizers import UniformQuantizer
from actbench_plugins.wcc import haar
from actbench_plugins.wcc.positions import from_field, joint_top, to_field, uses_bitmap

OPERATIONS_PER_VALUE = 32
"""Bit operations of one level's forward or inverse transform a value: four additions' worth at 8 bits (derived from the
paper's table of BOPs, which counts 8·4 a value of each level)."""


class WaveletCodec(Codec):
    """`y = Haar(pad(x))`; stored: y at the k positions of largest Σ_channels y², in `width`-bit codes with one clip,
    and the positions: `C·k·width + min(positions, k·⌈log2 positions⌉)` bits. `x̂ = crop(Haarᵀ(y, zero elsewhere))`.
    """

    def __init__(self, fmap: FeatureMap, levels: int, count: int, quantizer: UniformQuantizer | None) -> None:
        super().__init__()
        self.size = (fmap.height, fmap.width)
        self.levels = levels
        self.padded = haar.padded_size(fmap.height, fmap.width, levels)
        self.count = count
        self.quantizer = quantizer

    @property
    def positions(self) -> int:
        """Positions of the padded plane."""
        return self.padded[0] * self.padded[1]

    def encode(self, x: Tensor) -> Payload:
        exact = x if x.dtype == torch.float64 else x.float()
        coefficients = haar.forward(haar.pad(exact, self.levels), self.levels)
        index = joint_top(coefficients, self.count)
        kept = coefficients.gather(2, _shared(index, coefficients.shape[1])).to(x.dtype)
        where = to_field(index, self.positions)
        if self.quantizer is None:
            return Payload(kept=floating(kept), where=where)
        return Payload(kept=unsigned(self.quantizer.encode(kept), self.quantizer.width), where=where)

    def decode(self, payload: Payload) -> Tensor:
        return self._restore(self._kept(payload), payload)

    def conv(self, payload: Payload, convolution: nn.Conv2d) -> Tensor | None:
        """A 1×1 convolution commutes with the transform: it needs the kept coefficients only. The bias comes last: in
        the wavelet domain it would be added to every sub-band."""
        plain = convolution.kernel_size == convolution.stride == (1, 1) and convolution.groups == 1
        if not plain or convolution.padding != (0, 0):
            return None
        kept = functional.conv1d(self._kept(payload), convolution.weight[:, :, :, 0])
        result = self._restore(kept, payload)
        return result if convolution.bias is None else result + convolution.bias[:, None, None]

    def describe(self) -> dict[str, OptionValue]:
        return {
            "levels": self.levels,
            "kept": self.count,
            "rate": round(self.count / self.positions, 4),
            "bits": self.quantizer.width if self.quantizer else FLOAT_BITS,
            "positions": "bit-map" if uses_bitmap(self.count, self.positions) else "index",
        }

    def operations(self, shape: tuple[int, int, int]) -> int:
        """Bit operations of the transform and its inverse: each level works on a quarter of the values before."""
        values = shape[0] * self.positions
        return 2 * sum(OPERATIONS_PER_VALUE * (values >> (2 * level)) for level in range(self.levels))

    def _kept(self, payload: Payload) -> Tensor:
        """(batch, C, count) the coefficients' values."""
        return payload["kept"] if self.quantizer is None else self.quantizer.decode(payload["kept"])

    def _restore(self, kept: Tensor, payload: Payload) -> Tensor:
        """Coefficients at their positions, zeros elsewhere, back to a map."""
        index = from_field(payload["where"], self.count, self.positions)
        plane = torch.zeros(*kept.shape[:2], self.positions, dtype=kept.dtype, device=kept.device)
        plane = plane.scatter(2, _shared(index, kept.shape[1]), kept)
        return haar.inverse(plane, *self.padded, self.levels)[:, :, : self.size[0], : self.size[1]]


def _shared(index: Tensor, channels: int) -> Tensor:
    """(batch, count) → (batch, C, count): the same positions for every channel."""
    return index[:, None].expand(-1, channels, -1)
