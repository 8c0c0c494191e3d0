"""WCC: how many coefficients of which map, and in which width."""

from __future__ import annotations

import torch

from actbench.feature_map import FLOAT_BITS
from actbench.method import Allowance, Codec, FeatureMap, MapStatistics, Method, Unsupported
from actbench.quantizers import UniformQuantizer
from actbench_plugins.wcc import haar
from actbench_plugins.wcc.codec import WaveletCodec
from actbench_plugins.wcc.positions import joint_top, side_bits

_IMAGES = 16
"""Images of the calibration sample on which candidates are compared."""


class WaveletCompression(Method):
    """Keeps the most coefficients that fit in each allowed width, and takes the width with the least squared error on
    the calibration sample. The choice of the width is ours; the paper fixes rate and bits by hand."""

    def codec(self, fmap: FeatureMap, stats: MapStatistics, allowance: Allowance) -> Codec:
        levels = haar.usable_levels(fmap.height, fmap.width, int(self.options["levels"]))
        padded_height, padded_width = haar.padded_size(fmap.height, fmap.width, levels)
        positions = padded_height * padded_width
        counts = {width: most_kept(fmap.channels, positions, width, allowance.bits) for width in allowance.widths}
        possible = {width: count for width, count in counts.items() if count > 0}
        if not possible:
            needed = fmap.channels * allowance.widths[-1] + side_bits(1, positions)
            raise Unsupported(f"{fmap.name}: one coefficient needs {needed} bits; {allowance.bits} are allowed")
        images = stats.after.sample[:_IMAGES]
        coefficients = haar.forward(haar.pad(images, levels), levels)
        quantizers = {width: _quantizer(coefficients, count, width) for width, count in possible.items()}
        codecs = [WaveletCodec(fmap, levels, possible[width], quantizers[width]) for width in possible]
        with torch.no_grad():
            errors = [float((codec(images) - images).square().sum()) for codec in codecs]
        return codecs[min(range(len(codecs)), key=errors.__getitem__)]


def most_kept(channels: int, positions: int, width: int, bits: int) -> int:
    """The largest k with `C·k·width + side information ≤ bits`, 0 where not even one coefficient fits."""
    low, high = 0, positions
    while low < high:
        middle = (low + high + 1) // 2
        if channels * middle * width + side_bits(middle, positions) <= bits:
            low = middle
        else:
            high = middle - 1
    return low


def _quantizer(coefficients: torch.Tensor, count: int, width: int) -> UniformQuantizer | None:
    """One clip for all sub-bands and channels, calibrated on the coefficients that are kept."""
    if width == FLOAT_BITS:
        return None
    index = joint_top(coefficients, count)[:, None].expand(-1, coefficients.shape[1], -1)
    return UniformQuantizer.calibrated(width, coefficients.gather(2, index))
