"""Two scales, one of a block and one of the whole map, that is calibrated or stored with each image."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from typing_extensions import override

from actbench.codec import Codec, Payload, floating
from actbench.codec.block_codes import BlockCodec
from actbench.codec.element_formats import FP4_E2M1, FP8_E4M3
from actbench.info import OptionValue

BLOCK = 16


class TwoScales(nn.Module):
    """The scale of a block, an E4M3 number s times that of the map, `g = largest / (6·448)`: with it the block's
    largest magnitude is 6, that of E2M1, but for the rounding of s. `largest` (): of the map, or (batch, 1, 1, 1) of
    each image."""

    bits = FP8_E4M3.bits
    largest: Tensor

    def __init__(self, largest: Tensor) -> None:
        super().__init__()
        self.register_buffer("largest", largest)

    def encode(self, largest: Tensor) -> Tensor:
        """Chooses scales from the largest magnitudes of blocks; none is zero."""
        return FP8_E4M3.encode(largest / (FP4_E2M1.largest * self._of_map())).clamp_min_(1)

    def decode(self, codes: Tensor) -> Tensor:
        """Gives the scales."""
        return FP8_E4M3.decode(codes) * self._of_map()

    def _of_map(self) -> Tensor:
        return self.largest.float().clamp_min(1e-30) / (FP4_E2M1.largest * FP8_E4M3.largest)


def static_codec(channels: int, largest: float) -> BlockCodec:
    """The codec of which the map's scale is a table."""
    return BlockCodec(channels, BLOCK, FP4_E2M1, TwoScales(torch.tensor(largest)))


class ImageCodec(Codec):
    """The codec of which each image has a scale of its own, in fp32, and so is encoded as a whole."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    @override
    def encode(self, x: Tensor) -> Payload:
        largest = x.detach().float().abs().amax((1, 2, 3), keepdim=True)
        blocks = self._blocks(largest).encode(x)
        return Payload(**blocks.fields, largest=floating(largest, side=True))

    @override
    def decode(self, payload: Payload) -> Tensor:
        return self._blocks(payload["largest"]).decode(payload)

    @override
    def describe(self) -> dict[str, OptionValue]:
        return {"format": FP4_E2M1.name, "block": BLOCK}

    def _blocks(self, largest: Tensor) -> BlockCodec:
        return BlockCodec(self.channels, BLOCK, FP4_E2M1, TwoScales(largest))
