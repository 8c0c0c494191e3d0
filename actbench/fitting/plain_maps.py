"""Plain maps, by one rule for every method."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from actbench.budget import Budget
from actbench.codec.codec import Codec
from actbench.codec.modules import build_all
from actbench.codec.plain import PlainCodec
from actbench.codec.protocols import Linear
from actbench.codec.reader_error import reader_error
from actbench.codec.statistics import MapStatistics
from actbench.errors import InvalidCodec
from actbench.feature_map import FeatureMap

_NEAR = 0.01
"""Errors of less than this share of the variance are none that a coder's bits would be given up for."""

_IMAGES = 16
"""Images on which a method's codec is compared with plain codes."""


@dataclass(frozen=True)
class PlainMaps:
    """The rule: where a map in plain codes fits, and its error behind its readers is no larger than the method's, it is
    plain. Of a `coder`, whose bits depend on the data, the gain is in bits: a map is plain only where the coder's error
    is larger by a hundredth of the variance. `never`: no map is plain that the method does not store so itself.

    A plain map may take as many bits as its share of the ceiling or, if that is more, as the method's codec does; and
    all maps together no more than a ceiling on traffic.
    """

    maps: Sequence[FeatureMap]
    readers: Callable[[FeatureMap], Sequence[nn.Conv2d | nn.ConvTranspose2d | nn.Linear]]
    budget: Budget
    never: bool = False
    coder: bool = False

    def apply(self, codecs: Mapping[str, Codec], stats: Mapping[str, MapStatistics]) -> dict[str, Codec]:
        """Chooses for every map that has a codec, in their order, by `stats` of the fp32 network."""
        planned = [fmap for fmap in self.maps if fmap.name in codecs]
        stored = {fmap.name: _bits(codecs[fmap.name], stats[fmap.name]) for fmap in planned}
        chosen: dict[str, Codec] = {}
        for fmap in planned:
            chosen[fmap.name] = self._choose(fmap, codecs[fmap.name], stats[fmap.name], stored)
            stored[fmap.name] = _bits(chosen[fmap.name], stats[fmap.name])
        return chosen

    def _choose(self, fmap: FeatureMap, codec: Codec, stats: MapStatistics, stored: Mapping[str, int]) -> Codec:
        """The method's codec or plain codes, the widest that fit, whichever errs less behind the map's readers."""
        width = None if self.never or isinstance(codec, PlainCodec) else self._plain_width(fmap, stored)
        if width is None:
            return codec
        plain = PlainCodec.calibrated(fmap, stats, width)
        own, others = (self._error(fmap, each, stats) for each in (codec, plain))
        is_nearer = own <= others + _NEAR if self.coder else own < others
        return codec if is_nearer and not keeps_all_channels(codec) else plain

    def _plain_width(self, fmap: FeatureMap, stored: Mapping[str, int]) -> int | None:
        own = stored[fmap.name]
        most = max(self.budget.share(fmap, self.maps), own)
        if self.budget.ceiling.kind == "traffic":
            spare = self.budget.ceiling.limit(self.maps) - sum(stored.values())
            most = min(most, own + max(0, spare))
        return next((width for width in self.budget.bits.widths if fmap.elements * width <= most), None)

    def _error(self, fmap: FeatureMap, codec: Codec, stats: MapStatistics) -> float:
        before, after = stats.before.sample[:_IMAGES], stats.after.sample[:_IMAGES]
        decoded = decode_as_read(fmap, codec, before, after)
        if decoded.shape != after.shape:
            shapes = tuple(decoded.shape[1:]), tuple(after.shape[1:])
            raise InvalidCodec(f"decode of {fmap.name} returned {shapes[0]}, not {shapes[1]} an image")
        if not decoded.isfinite().all():
            raise InvalidCodec(f"decode of {fmap.name} returned what is not finite")
        return reader_error(fmap, self.readers(fmap), after, decoded)


def keeps_all_channels(codec: Codec) -> bool:
    """Whether a linear codec keeps as many channels as the map has, all in one width: then it projects nothing, and the
    map in plain codes takes its place, so that no dense matrix is left behind."""
    if not isinstance(codec, Linear) or codec.width is None:
        return False
    return codec.decoder.in_channels == codec.decoder.out_channels


@torch.no_grad()
def decode_as_read(fmap: FeatureMap, codec: Codec, before: Tensor, after: Tensor) -> Tensor:
    """The map as its readers get it, (images, C, H, W), from its two sides."""
    decoded: Tensor = codec(after if codec.side == "after" else before)
    return build_all(fmap.between)(decoded) if codec.side == "before" else decoded


@torch.no_grad()
def _bits(codec: Codec, stats: MapStatistics) -> int:
    """The bits of one image."""
    side = stats.after if codec.side == "after" else stats.before
    return int(codec.encode(side.sample[:1]).bits_per_image()[0])
