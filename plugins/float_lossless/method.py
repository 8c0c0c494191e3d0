"""Floating point: how many bits of each mantissa fit beside entropy-coded heads."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from actbench.codec import Allowance, Codec, FeatureMap, MapStatistics, Method, Unsupported
from actbench.codec.rate_control import MARGIN, MOST_RUNGS, QUANTILE, Ladder, stream_allowance, sum_over_granules
from actbench.feature_map import FLOAT_BITS
from actbench_plugins.float_lossless.codec import CodedHeads, RawWords, counted, raw_bits
from actbench_plugins.float_lossless.words import Words

_TYPES = {FLOAT_BITS: Words(23), 16: Words(7)}
"""Floating point of the widths that a cell allows: fp32 and bfloat16."""

_FEWER = (1, 2, 4, 8)
"""Bits of a mantissa that the rungs below the planned one leave out beside what it leaves out."""

_IMAGES = 64
"""Images of the calibration sample on which heads are counted and lengths estimated."""


class FloatCoding(Method):
    """Codes sign and exponent of every value, and stores its mantissa raw. Where not all of it fits, on calibration
    images, as many bits of each mantissa as do; images that need it take fewer."""

    @override
    def codec(self, fmap: FeatureMap, stats: MapStatistics, allowance: Allowance) -> Codec:
        words = _TYPES.get(allowance.widths[0])
        if words is None:
            raise Unsupported(f"{fmap.name}: this code is for floating point, w32a32 or a width of 16")
        bits = stream_allowance(allowance.bits, MOST_RUNGS, fmap.height)
        raw = raw_bits(fmap, words, bits)
        if raw < 9:
            raise Unsupported(
                f"{fmap.name} needs {9 * fmap.elements} bits for signs and exponents; {bits} are left for them"
            )
        sample = stats.after.sample[:_IMAGES]
        rungs = [*_coded(fmap, words, sample, bits), RawWords(fmap, words, raw)]
        return Ladder(rungs, allowance.bits, fmap.height)


@torch.no_grad()
def _coded(fmap: FeatureMap, words: Words, sample: Tensor, bits: int) -> list[CodedHeads]:
    frequency = counted(words, sample)
    for kept in range(words.mantissa_bits, -1, -1):
        planned = CodedHeads(fmap, words, kept, frequency)
        if MARGIN * float(sum_over_granules(planned.costs, sample).quantile(QUANTILE)) <= bits:
            fewer = [kept - less for less in _FEWER if less <= kept]
            return [planned, *(CodedHeads(fmap, words, each, frequency) for each in fewer)]
    return []
