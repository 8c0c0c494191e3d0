"""Microscaling: each map in the widest format that fits."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from actbench.codec import Allowance, FeatureMap
from actbench.codec.block_codes import BlockCodec
from actbench.codec.block_planning import MICROSCALING, BlockMethod, microscaled


class Microscaling(BlockMethod):
    """Stores blocks of 32 channels as one scale in 8 bits, `X = 2^(⌊log2 max|x|⌋ − e)`, e being the largest exponent of
    the element format, and elements `x / X`: `H·W·⌈C/32⌉·(32·width + 8)` bits.

    A format is one that a cell's widths allow. Where two of the widest that fit are as wide, the one with the least
    squared error on calibration images is taken.
    """

    @override
    def blocks(self, fmap: FeatureMap, sample: Tensor, allowance: Allowance) -> BlockCodec:
        chosen = str(self.options["format"])
        return microscaled(fmap, sample, allowance, tuple(MICROSCALING) if chosen == "widest" else (chosen,))
