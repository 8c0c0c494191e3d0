"""Widths that are learned: a quantiser between two widths, and what bits beyond an allowance cost in the loss."""

from __future__ import annotations

import copy
from bisect import bisect_right
from collections.abc import Collection

import torch
from torch import Tensor, nn

from actbench.codec.quantizers import UniformQuantizer

_GAIN = 24.0
"""Bits by which a width moves where its parameter moves by 1: at the learning rate of weights it would hardly move."""


class InterpolatedQuantizer(nn.Module):
    """Quantiser whose width is learned, after Tai et al. (SiPS 2022, arXiv 2207.07931): values between those of the two
    nearest widths l < u that codes may have,

        x̂ = (1 − f)·Q_l(x) + f·Q_u(x),   f = (b − l) / (u − l),   so that   ∂x̂/∂b = (Q_u(x) − Q_l(x)) / (u − l)

    It starts at the width of `quantizer`, whose clip serves all widths and stays learnable. `widths`: two at least; at
    width 0 every value is 0.

    Example:
        >>> quantizer = InterpolatedQuantizer(UniformQuantizer(2, 0.0, 3.0), (0, 1, 2, 3))
        >>> with torch.no_grad():
        ...     _ = quantizer.shift.fill_(-1 / 48)  # half a bit
        >>> quantizer.width.item(), quantizer(torch.tensor([1.2])).tolist()
        (1.5, [0.5])
    """

    def __init__(self, quantizer: UniformQuantizer, widths: Collection[int]) -> None:
        super().__init__()
        self.quantizer = quantizer
        self.widths = sorted(widths)
        self.shift = nn.Parameter(torch.zeros(()))

    @property
    def width(self) -> Tensor:
        """The width b, (), as it is learned."""
        return self.quantizer.width + _GAIN * self.shift

    def forward(self, x: Tensor) -> Tensor:
        """Interpolates what the codes of both widths stand for, in x's shape."""
        width = self.width
        upper = min(max(1, bisect_right(self.widths, float(width.detach()))), len(self.widths) - 1)
        low, high = self.widths[upper - 1], self.widths[upper]
        return torch.lerp(self._decoded(x, low), self._decoded(x, high), ((width - low) / (high - low)).to(x.dtype))

    @torch.no_grad()
    def confine(self) -> None:
        """Brings a width that left the range of the possible ones back to its end."""
        low, high = (end - self.quantizer.width for end in (self.widths[0], self.widths[-1]))
        self.shift.clamp_(low / _GAIN, high / _GAIN)

    def _decoded(self, x: Tensor, width: int) -> Tensor:
        if width == 0:
            return torch.zeros_like(x)
        quantizer = copy.copy(self.quantizer)  # with the same clip
        quantizer.width = width
        decoded: Tensor = quantizer(x)
        return decoded


def bit_price(bits: Tensor, limit: int) -> Tensor:
    """Computes `max(0, bits − limit) / limit`, (): what so many bits of an image add to the loss, where a codec may
    store `limit`."""
    return torch.relu(bits - limit) / limit
