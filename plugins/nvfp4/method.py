"""NVFP4: where a map fits into it."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from actbench.codec import Allowance, Codec, FeatureMap, Unsupported
from actbench.codec.block_codes import stored_bits
from actbench.codec.block_planning import BlockMethod
from actbench.codec.element_formats import FP4_E2M1, FP8_E4M3
from actbench.feature_map import FLOAT_BITS
from actbench_plugins.nvfp4.codec import BLOCK, ImageCodec, static_codec


class Nvfp4(BlockMethod):
    """Stores blocks of 16 channels as E2M1 elements, 4 bits each, and an E4M3 scale, `H·W·⌈C/16⌉·72` bits, and
    where the map's scale is the image's own, 32 bits for it."""

    @override
    def blocks(self, fmap: FeatureMap, sample: Tensor, allowance: Allowance) -> Codec:
        if FP4_E2M1.bits not in allowance.widths:
            raise Unsupported(f"{fmap.name}: elements have 4 bits, which the widths of codes leave out")
        own = self.options["scale"] == "image"
        needed = stored_bits(fmap, BLOCK, FP4_E2M1.bits, FP8_E4M3.bits) + (FLOAT_BITS if own else 0)
        if needed > allowance.bits:
            raise Unsupported(f"{fmap.name} needs {needed} bits in blocks of 16 channels; {allowance.bits} are allowed")
        return ImageCodec(fmap.channels) if own else static_codec(fmap.channels, float(sample.abs().max()))
