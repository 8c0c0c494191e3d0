"""Planning of codes in blocks: which element format, and how long a block, for a map's allowance."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from torch import Tensor
from typing_extensions import override

from actbench.budget import Allowance
from actbench.codec.block_codes import BlockCodec, PowerOfTwo, least_error, stored_bits
from actbench.codec.codec import Codec
from actbench.codec.element_formats import (
    FP4_E2M1,
    FP6_E2M3,
    FP6_E3M2,
    FP8_E4M3,
    FP8_E5M2,
    INT8,
    FloatFormat,
    IntegerFormat,
)
from actbench.codec.linear_ends import with_decoder
from actbench.codec.method import Method
from actbench.codec.statistics import MapStatistics
from actbench.errors import Unsupported
from actbench.feature_map import FeatureMap

MICROSCALING: dict[str, FloatFormat | IntegerFormat] = {
    form.name: form for form in (INT8, FP8_E4M3, FP8_E5M2, FP6_E3M2, FP6_E2M3, FP4_E2M1)
}
"""The element formats of OCP Microscaling Formats (MX) v1.0, the widest first."""

_MICROSCALING_BLOCK = 32
_LONGEST_BLOCK = 256
_MANTISSAS = range(6, 1, -1)
_SCALE_BITS = 8


class BlockMethod(Method):
    """A method that stores maps in blocks of channels. Each map that only convolutions read gets a decoder that folds
    into them, for refitting; what training saves gets none, as nothing folds there."""

    @abstractmethod
    def blocks(self, fmap: FeatureMap, sample: Tensor, allowance: Allowance) -> Codec:
        """Plans a map's codes, from a sample (images, C, H, W) of it. Raises Unsupported where none fit."""

    @override
    def codec(self, fmap: FeatureMap, stats: MapStatistics, allowance: Allowance) -> Codec:
        return with_decoder(fmap, self.blocks(fmap, stats.after.sample, allowance))

    @override
    def saving(self, fmap: FeatureMap, stats: MapStatistics, allowance: Allowance) -> Codec:
        return self.blocks(fmap, stats.after.sample, allowance)


def microscaled(
    fmap: FeatureMap, sample: Tensor, allowance: Allowance, names: Sequence[str] = tuple(MICROSCALING)
) -> BlockCodec:
    """Plans blocks of 32 channels in the MX formats of these names: of the widest that the allowance has room for, that
    with the least squared error on a sample (images, C, H, W). Raises Unsupported where none fits."""
    formats = [MICROSCALING[name] for name in names]
    allowed = [form for form in formats if form.bits in allowance.widths]
    if not allowed:
        bits = " or ".join(str(width) for width in sorted({form.bits for form in formats}))
        raise Unsupported(f"{fmap.name}: these formats have {bits} bits, which the widths of codes leave out")
    needed = {form: stored_bits(fmap, _MICROSCALING_BLOCK, form.bits, _SCALE_BITS) for form in allowed}
    fitting = [form for form in allowed if needed[form] <= allowance.bits]
    if not fitting:
        raise Unsupported(
            f"{fmap.name} needs {min(needed.values())} bits in blocks of {_MICROSCALING_BLOCK} channels; "
            f"{allowance.bits} are allowed"
        )
    widest = max(form.bits for form in fitting)
    return least_error((_microscaled(fmap, form) for form in fitting if form.bits == widest), sample)


def block_floating(fmap: FeatureMap, sample: Tensor, allowance: Allowance) -> BlockCodec:
    """Plans block floating point: mantissas of 2 to 6 bits, without a sign where the map has none, and blocks of a
    power of two of channels, up to 256. Of each width the shortest blocks that the allowance has room for are tried,
    and the width with the least squared error on a sample (images, C, H, W) is taken. Raises Unsupported where none
    fits."""
    widths = [width for width in _MANTISSAS if width in allowance.widths]
    if not widths:
        raise Unsupported(f"{fmap.name}: mantissas have 2 to 6 bits, which the widths of codes leave out")
    lengths = _block_lengths(fmap.channels)
    needed = {(width, length): stored_bits(fmap, length, width, _SCALE_BITS) for width in widths for length in lengths}
    fitting = {width: length for (width, length), bits in reversed(needed.items()) if bits <= allowance.bits}
    if not fitting:
        raise Unsupported(f"{fmap.name} needs {min(needed.values())} bits in blocks; {allowance.bits} are allowed")
    return least_error((_floating(fmap, width, length) for width, length in fitting.items()), sample)


def _microscaled(fmap: FeatureMap, form: FloatFormat | IntegerFormat) -> BlockCodec:
    """Scales as MX v1.0 has them, `2^(⌊log2 max|x|⌋ − largest exponent of the format)`."""
    scale = PowerOfTwo(2.0 ** (form.largest_exponent + 1))
    return BlockCodec(fmap.channels, _MICROSCALING_BLOCK, form, scale)


def _floating(fmap: FeatureMap, width: int, length: int) -> BlockCodec:
    """The exponent is the least with which the largest value is not cut off, but for rounding."""
    mantissas = IntegerFormat(width, signed=not fmap.nonnegative)
    half = mantissas.largest / (2 * mantissas.largest_code)
    return BlockCodec(fmap.channels, length, mantissas, PowerOfTwo(mantissas.largest + half))


def _block_lengths(channels: int) -> list[int]:
    """Powers of two, rising, up to the first that holds all channels."""
    most = min(_LONGEST_BLOCK, 1 << (channels - 1).bit_length())
    return [1 << power for power in range(2, most.bit_length())] or [most]
