"""Learned codebooks: how many channels share an index, and indices of how many bits."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from actbench.codec import Allowance, Codec, FeatureMap, MapStatistics, Method, PlainCodec, Unsupported
from actbench.codec.linear_ends import with_decoder
from actbench_plugins.codebook.codec import learned, stored_bits
from actbench_plugins.codebook.rotation import RotatedCodec, balanced_components

_WIDEST = 8
"""Bits of an index at most, and of plain codes that leave nothing to gain."""

_QUICK = 6
"""Wider indices are for cells that have no others: with 8 bits the search takes four times as long."""

_VECTORS = 1 << 13
"""Positions of calibration images that codebooks are learned from."""

_IMAGES = 16
"""Images of the calibration sample on which candidates are compared."""


class LearnedCodebooks(Method):
    """Learns for each width of indices codebooks of the shortest vectors that fit, of channels as they are and, where
    they take either sign, of balanced principal components; what has the least squared error on calibration images is
    taken. Behind a ReLU a rotation would take the zeros away. A map that fits into plain codes of 8 bits is stored in
    these: a codebook for every single channel would say the same at a higher price."""

    @override
    def codec(self, fmap: FeatureMap, stats: MapStatistics, allowance: Allowance) -> Codec:
        plain = allowance.plain_width(fmap)
        if plain is not None and plain >= _WIDEST:
            return PlainCodec.calibrated(fmap, stats, plain)
        codec = self.saving(fmap, stats, allowance)
        return codec if isinstance(codec, RotatedCodec) else with_decoder(fmap, codec)

    @override
    def saving(self, fmap: FeatureMap, stats: MapStatistics, allowance: Allowance) -> Codec:
        pairs, sample = choices(fmap, allowance), stats.after.sample
        positions, images = drawn_positions(sample), sample[:_IMAGES]
        with torch.no_grad():
            codecs: list[Codec] = [learned(positions, block, width) for width, block in pairs.items()]
            if not fmap.nonnegative:
                covariance = stats.after.covariance
                codecs += [_rotated(positions, covariance, block, width) for width, block in pairs.items()]
            return min(codecs, key=lambda codec: float((codec(images) - images).square().sum()))


def choices(fmap: FeatureMap, allowance: Allowance) -> dict[int, int]:
    """For each width of an index the fewest channels a group with which a map fits, without widths that give fewer bits
    in shorter vectors than a wider one. Raises Unsupported where none fits."""
    possible = [width for width in allowance.widths if width <= _WIDEST]
    widths = [width for width in possible if width <= _QUICK] or possible
    if not widths:
        raise Unsupported(f"{fmap.name}: an index has {_WIDEST} bits at most, which the widths of codes leave out")
    found: dict[int, int] = {}
    most = 0
    for width in widths:
        groups = min(fmap.channels, allowance.rank(fmap.positions, width))
        block = -(-fmap.channels // max(1, groups))
        bits = stored_bits(fmap, block, width)
        if most < bits <= allowance.bits:
            found[width], most = block, bits
    if not found:
        needed = stored_bits(fmap, fmap.channels, widths[-1])
        raise Unsupported(f"{fmap.name}: one index a position needs {needed} bits; {allowance.bits} are allowed")
    return found


def drawn_positions(sample: Tensor) -> Tensor:
    """Draws positions of a sample (images, C, H, W), the same whenever it is asked, as images (n, C, 1, 1) of one."""
    columns = sample.movedim(1, 3).flatten(0, 2)
    order = torch.randperm(len(columns), generator=torch.Generator().manual_seed(0))
    return columns[order[:_VECTORS].to(columns.device)][:, :, None, None]


def _rotated(positions: Tensor, covariance: Tensor, block: int, width: int) -> RotatedCodec:
    rotation = balanced_components(covariance, block).to(positions.device)
    return RotatedCodec(rotation, learned(torch.einsum("kc,nchw->nkhw", rotation, positions), block, width))
