"""WCC: how many coefficients each map keeps, and in which width."""

from __future__ import annotations

import torch
from torch import Tensor

from actbench.codec import Allowance, Codec, FeatureMap, MapStatistics, Method, UniformQuantizer, Unsupported
from actbench.feature_map import FLOAT_BITS
from actbench.recipe import Recipe, RecipeName
from actbench_plugins.wcc import haar
from actbench_plugins.wcc.codec import WaveletCodec
from actbench_plugins.wcc.positions import choose, side_bits
from actbench_plugins.wcc.quantizer import ZeroQuantizer
from actbench_plugins.wcc.striped import StripedWaveletCodec
from actbench_plugins.wcc.transforms import Transform, build

_IMAGES = 16
"""Images of the calibration sample on which candidates are compared."""


class WaveletCompression(Method):
    """Keeps the most coefficients that fit in each allowed width, and takes the width with the least squared error on
    the calibration sample. The choice of the width is ours; the paper fixes rate and bits by hand. Of all maps, or of
    those that 1×1 convolutions read: the others are plain then, where they fit."""

    def recipe(self, name: RecipeName) -> Recipe:
        return Recipe(gradual=name == "paper" or self.options["schedule"] == "gradual")

    def codec(self, fmap: FeatureMap, stats: MapStatistics, allowance: Allowance) -> Codec:
        if self.options["where"] == "pointwise" and not _read_by_pointwise(fmap):
            needed = fmap.elements * allowance.widths[-1]
            raise Unsupported(
                f"{fmap.name}: not only 1×1 convolutions read it, and in plain codes it needs {needed} bits; "
                f"{allowance.bits} are allowed"
            )
        selection, wavelet = (str(self.options[name]) for name in ("selection", "wavelet"))
        transform = build(wavelet, fmap.height, fmap.width, int(self.options["levels"]))
        counts = _counts(fmap, selection, transform.positions, allowance)
        images = stats.after.sample[:_IMAGES]
        coefficients = transform(haar.pad(images, transform.levels))
        form = StripedWaveletCodec if selection == "joint" and transform.by_rows else WaveletCodec
        codecs = [
            form(fmap, transform, selection, count, _quantizer(coefficients, selection, count, width, transform))
            for width, count in counts.items()
        ]
        with torch.no_grad():
            return min(codecs, key=lambda codec: float((codec(images) - images).square().sum()))


def _read_by_pointwise(fmap: FeatureMap) -> bool:
    return bool(fmap.readers) and all(reader.pointwise for reader in fmap.readers)


def _counts(fmap: FeatureMap, selection: str, positions: int, allowance: Allowance) -> dict[int, int]:
    """How many coefficients fit in each width, of the widths in which at least one does."""
    counts = {
        width: most_kept(selection, fmap.channels, positions, width, allowance.bits) for width in allowance.widths
    }
    possible = {width: count for width, count in counts.items() if count > 0}
    if not possible:
        needed = fmap.channels * allowance.widths[-1] + side_bits(selection, fmap.channels, 1, positions)
        raise Unsupported(f"{fmap.name}: one coefficient needs {needed} bits; {allowance.bits} are allowed")
    return possible


def most_kept(selection: str, channels: int, positions: int, width: int, bits: int) -> int:
    """The largest k with `C·k·width + side information ≤ bits`, 0 where not even one coefficient fits."""
    low, high = 0, positions
    while low < high:
        middle = (low + high + 1) // 2
        if channels * middle * width + side_bits(selection, channels, middle, positions) <= bits:
            low = middle
        else:
            high = middle - 1
    return low


def _quantizer(
    coefficients: Tensor, selection: str, count: int, width: int, transform: Transform
) -> UniformQuantizer | None:
    """One clip for all sub-bands and channels, calibrated on the coefficients that are kept, with a code for zero."""
    if width == FLOAT_BITS:
        return None
    index = choose(selection, coefficients, count, transform).expand(-1, coefficients.shape[1], -1)
    return ZeroQuantizer.calibrated(width, coefficients.gather(2, index))
