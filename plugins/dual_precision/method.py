"""The widest codes of the residual that fit beside the means."""

from __future__ import annotations

from typing_extensions import override

from actbench import UserError
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
from actbench.feature_map import FLOAT_BITS
from actbench_plugins.dual_precision.codec import DividedMap, block_means, stored_bits


class DualPrecision(Method):
    """Stores means in codes of the cell's widest width, or in the map's own type, and the rest in codes of the widest
    width that fits."""

    @override
    def saving(self, fmap: FeatureMap, stats: MapStatistics, allowance: Allowance) -> Codec:
        block = min(self._block, max(fmap.height, fmap.width))
        width_of_means = FLOAT_BITS if self.options["means"] == "fp32" else allowance.widths[0]
        needed = {width: stored_bits(fmap, block, width_of_means, width) for width in allowance.widths}
        fitting = [width for width, bits in needed.items() if bits <= allowance.bits]
        if not fitting:
            least = min(needed.values())
            raise Unsupported(f"{fmap.name}: means and a rest need {least} bits; {allowance.bits} are allowed")
        return DividedMap(fmap, block, self._means(fmap, stats, block, width_of_means), fitting[0])

    @property
    def _block(self) -> int:
        block = int(self.options["block"])
        if block < 1:
            raise UserError(f"dual-precision.block={block}: give the side of a block, at least 1")
        return block

    def _means(self, fmap: FeatureMap, stats: MapStatistics, block: int, width: int) -> PlainCodec:
        """How means are stored: between ends of least squared error on the means of calibration images."""
        if width == FLOAT_BITS:
            return PlainCodec(None)
        sample = block_means(stats.after.sample, block)
        return PlainCodec(UniformQuantizer.calibrated(width, sample, nonnegative=fmap.nonnegative))
