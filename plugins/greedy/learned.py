"""Components whose number and width are learned in recovery, by the price of their bits."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from actbench.codec import Allowance, Codec, Folded, Payload, UniformQuantizer, floating, unsigned
from actbench.codec.learned_widths import InterpolatedQuantizer, bit_price
from actbench.codec.modules import pointwise
from actbench.info import OptionValue
from actbench_plugins.greedy.codec import ComponentCodec, StoredComponents


class LearnedSetting(nn.Module):
    """A continuous number r of components and a continuous width b: component i is multiplied with
    `min(1, max(0, r − i))`, and its codes are interpolated between two widths. Both start as planned."""

    def __init__(self, planned: int, quantizer: InterpolatedQuantizer) -> None:
        super().__init__()
        self.planned = planned
        self.quantizer = quantizer
        self.part = nn.Parameter(torch.ones(()))

    @property
    def rank(self) -> Tensor:
        """The number r, ()."""
        return self.planned * self.part

    def forward(self, z: Tensor) -> Tensor:
        """What is stored of components z (batch, K, H, W)."""
        gates = (self.rank - torch.arange(self.planned, device=z.device)).clamp(0, 1)
        stored: Tensor = self.quantizer(z) * gates[:, None, None].to(z.dtype)
        return stored

    @torch.no_grad()
    def confine(self) -> None:
        """Brings both back to what is possible: one component at least."""
        self.part.clamp_(1 / self.planned, 1)
        self.quantizer.confine()

    @torch.no_grad()
    def nearest(self, most: int) -> tuple[int, int]:
        """The whole K and w, with `K·w ≤ most`, that are nearest, `min (K/r − 1)² + (w/b − 1)²`, of those that leave
        room for no component and no bit more."""
        rank, width = self.rank.item(), self.quantizer.width.item()
        full = {min(self.planned, most // w): w for w in self.quantizer.widths}  # of equal K the widest stays
        possible = [(k, w) for k, w in full.items() if k > 0]
        return min(possible, key=lambda pair: (pair[0] / rank - 1) ** 2 + (pair[1] / width - 1) ** 2)


class LearnedComponentCodec(ComponentCodec):
    """Components that start with the planned K and b, and learn others on the way: fewer in wider codes, or narrower
    codes, with the loss `max(0, bits − allowed) / allowed` beside the task's. At the end of the way both are rounded so
    that they fit. `allowance`: of the map. `positions`: H·W before pooling."""

    def __init__(self, planned: ComponentCodec, allowance: Allowance, positions: int) -> None:
        Codec.__init__(self)
        self.project, self.core = planned.project, planned.core
        self.rank = self.project.out_channels
        self.allowance = allowance
        self.positions = positions
        self.learned: LearnedSetting | None = None

    def approach(self, progress: float) -> None:
        """Lets rank and width be learned from 0 on, and rounds them at 1."""
        if progress == 0 and self.learned is None:
            quantizer = InterpolatedQuantizer(self._quantizer, self.allowance.widths)
            self.learned = LearnedSetting(self.rank, quantizer).to(self.project.weight.device)
        if self.learned is not None:
            self.learned.confine()
            if progress == 1:
                self.rank, self._quantizer.width = self.learned.nearest(self.allowance.bits // self.positions)
                self.learned = None

    def price(self) -> Tensor:
        rank, width = (
            (self.rank, self._quantizer.width)
            if self.learned is None
            else (self.learned.rank, self.learned.quantizer.width)
        )
        return bit_price(torch.as_tensor(self.positions * rank * width), self.allowance.bits)

    def encode(self, x: Tensor) -> Payload:
        z = self.project(x)
        if self.learned is not None:
            return Payload(values=floating(self.learned(z)))
        return Payload(codes=unsigned(self._quantizer.encode(z)[:, : self.rank], self._quantizer.width))

    def decode(self, payload: Payload) -> Tensor:
        if self.learned is not None:
            return self.decoder(payload["values"])  # type: ignore[no-any-return]
        # Clips may be of all K components: those that are not stored are decoded, too, and left out.
        codes = functional.pad(payload["codes"], (0, 0, 0, 0, 0, self.project.out_channels - self.rank))
        z = self._quantizer.decode(codes)[:, : self.rank]
        return functional.conv2d(z, self.decoder.weight[:, : self.rank], self.decoder.bias)

    def fold(self) -> Folded:
        if self.rank == self.project.out_channels:
            return super().fold()
        weight, bias = self.project.weight, self.project.bias
        assert bias is not None
        project = pointwise(weight[: self.rank, :, 0, 0], bias[: self.rank]).to(weight)
        expand = pointwise(self.decoder.weight[:, : self.rank, 0, 0], self.decoder.bias).to(weight)
        return Folded(StoredComponents(expand, leading(self._quantizer, self.rank)), project=project)

    def describe(self) -> dict[str, OptionValue]:
        return {**super().describe(), "rank": self.rank}

    @property
    def _quantizer(self) -> UniformQuantizer:
        quantizer = self.core.plain.quantizer
        assert quantizer is not None
        return quantizer


def leading(quantizer: UniformQuantizer, rank: int) -> UniformQuantizer:
    """The quantiser of the first `rank` channels, which may have clips of their own."""
    cut = copy.deepcopy(quantizer)
    if cut.high.dim():
        cut.low, cut.high = nn.Parameter(quantizer.low[:rank].detach()), nn.Parameter(quantizer.high[:rank].detach())
    return cut
