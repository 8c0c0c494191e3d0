"""End points: how many channels a block has, and indices of how many bits."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from actbench.codec import Allowance, Codec, FeatureMap, Unsupported
from actbench.codec.block_planning import BlockMethod
from actbench.feature_map import FLOAT_BITS
from actbench_plugins.asc.codec import calibrated, stored_bits

_DEPTHS = (1, 2, 4, 8, 16)
"""Channels of a block."""

_IMAGES = 16
"""Images of the calibration sample on which candidates are compared."""


class EndPoints(BlockMethod):
    """Stores end points in the widest codes that a cell allows. Of each width of indices the blocks with the fewest
    channels that fit are tried, and the pair with the least squared error on calibration images is taken."""

    @override
    def blocks(self, fmap: FeatureMap, sample: Tensor, allowance: Allowance) -> Codec:
        ends = allowance.widths[0]
        if ends == FLOAT_BITS:
            raise Unsupported(f"{fmap.name}: end points are codes of at most 16 bits")
        needed = {
            (width, depth): stored_bits(fmap, depth, width, ends) for width in allowance.widths for depth in _DEPTHS
        }
        fitting = {width: depth for (width, depth), bits in reversed(needed.items()) if bits <= allowance.bits}
        if not fitting:
            raise Unsupported(f"{fmap.name} needs {min(needed.values())} bits in blocks; {allowance.bits} are allowed")
        images = sample[:_IMAGES]
        with torch.no_grad():
            codecs = [calibrated(fmap, images, depth, width, ends) for width, depth in fitting.items()]
            return min(codecs, key=lambda codec: float((codec(images) - images).square().sum()))
