"""The rotation, and what stores rotated channels."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from typing_extensions import override

from actbench.codec import (
    Allowance,
    Codec,
    FeatureMap,
    MapStatistics,
    Method,
    PlainCodec,
    UniformQuantizer,
    Unsupported,
)
from actbench.codec.block_planning import block_floating, microscaled
from actbench.feature_map import FLOAT_BITS
from actbench_plugins.hadamard.codec import RotatedCodec, RotatedPlainCodec
from actbench_plugins.hadamard.rotation import rotation

_IMAGES = 64
"""Images of the calibration sample on which codes are calibrated."""


class HadamardRotation(Method):
    """Stores `z = H D x`, H a normalised Hadamard matrix over channels and D random signs, in the bits of the codes
    that are chosen; nothing is stored beside them. Large values of a channel spread over all, and codes need less
    range."""

    @override
    def codec(self, fmap: FeatureMap, stats: MapStatistics, allowance: Allowance) -> Codec:
        matrix = rotation(fmap.channels, int(self.options["block"]), signs=self.options["signs"] == "random")
        rotated = torch.einsum("kc,nchw->nkhw", matrix, stats.after.sample[:_IMAGES])
        # Rotated values take either sign.
        signed = replace(fmap, between=())
        if self.options["codes"] == "mx":
            return RotatedCodec(matrix, microscaled(signed, rotated, allowance))
        if self.options["codes"] == "block-float":
            return RotatedCodec(matrix, block_floating(signed, rotated, allowance))
        return RotatedPlainCodec(matrix, _plain(signed, rotated, allowance))


def _plain(fmap: FeatureMap, sample: Tensor, allowance: Allowance) -> PlainCodec:
    width = allowance.plain_width(fmap)
    if width is None:
        needed = fmap.elements * allowance.widths[-1]
        raise Unsupported(
            f"{fmap.name} needs {needed} bits at {allowance.widths[-1]} bits a value; {allowance.bits} are allowed"
        )
    return PlainCodec(None if width == FLOAT_BITS else UniformQuantizer.calibrated(width, sample))
