"""Block floating point: how long a block, and mantissas of how many bits."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from actbench.codec import Allowance, FeatureMap
from actbench.codec.block_codes import BlockCodec
from actbench.codec.block_planning import BlockMethod, block_floating


class BlockFloat(BlockMethod):
    """Stores blocks of B channels as one exponent in 8 bits and mantissas of m bits, 2 to 6:
    `H·W·⌈C/B⌉·(B·m + 8)` bits. B and m are the pair with the least squared error on calibration images."""

    @override
    def blocks(self, fmap: FeatureMap, sample: Tensor, allowance: Allowance) -> BlockCodec:
        return block_floating(fmap, sample, allowance)
