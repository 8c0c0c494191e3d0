"""Plain maps, by one rule for every method."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from actbench.budget import Budget
from actbench.codec.codec import Codec
from actbench.codec.modules import build_all
from actbench.codec.plain import PlainCodec
from actbench.codec.protocols import Linear
from actbench.codec.reader_error import reader_error
from actbench.codec.statistics import MapStatistics
from actbench.feature_map import FeatureMap

_IMAGES = 16
"""Images on which a method's codec is compared with plain codes."""


@dataclass
class PlainMaps:
    """The rule: where a map in plain codes fits, and its error behind its readers is no larger than the method's, it is
    plain. `never`: no map is stored plainly that the method does not store so itself.

    A plain map may take as many bits as its share of the ceiling or, if that is more, as the method's codec does; and
    all maps together no more than a ceiling on traffic. `stored`: the bits of the codecs that are in place.
    """

    maps: Sequence[FeatureMap]
    readers: Callable[[FeatureMap], Sequence[nn.Conv2d | nn.ConvTranspose2d | nn.Linear]]
    budget: Budget
    never: bool = False
    stored: dict[str, int] = field(default_factory=dict)

    def apply(self, codecs: Mapping[str, Codec], stats: Mapping[str, MapStatistics]) -> dict[str, Codec]:
        """Chooses for every map that has a codec, in their order."""
        for fmap in self.maps:
            if fmap.name in codecs:
                self.stored[fmap.name] = _bits(fmap, codecs[fmap.name], stats[fmap.name])
        chosen: dict[str, Codec] = {}
        for fmap in self.maps:
            if fmap.name in codecs:
                codec, observed = codecs[fmap.name], stats[fmap.name]
                plain = self.alternative(fmap, codec, observed)
                chosen[fmap.name] = self.choose(fmap, codec, plain, observed, observed.after.sample)
        return chosen

    def alternative(self, fmap: FeatureMap, codec: Codec, observed: MapStatistics) -> PlainCodec | None:
        """Plain codes for a map, the widest that fit in the place of a method's codec; None where none do, or where the
        method itself stores the map plainly."""
        self.stored[fmap.name] = _bits(fmap, codec, observed)
        width = None if self.never or isinstance(codec, PlainCodec) else self._plain_width(fmap)
        return None if width is None else PlainCodec.calibrated(fmap, observed, width)

    def choose(
        self, fmap: FeatureMap, codec: Codec, plain: Codec | None, observed: MapStatistics, target: Tensor
    ) -> Codec:
        """The method's codec or plain codes, whichever is nearer to `target` (images, C, H, W) behind the map's
        readers. `observed`: what they get, of the same images."""
        if plain is None:
            return codec
        own, others = (self._error(fmap, each, observed, target) for each in (codec, plain))
        if own < others and not keeps_all_channels(codec):
            return codec
        self.stored[fmap.name] = _bits(fmap, plain, observed)
        return plain

    def _plain_width(self, fmap: FeatureMap) -> int | None:
        own = self.stored[fmap.name]
        most = max(self.budget.ceiling.share(fmap, self.maps), own)
        if self.budget.ceiling.kind == "traffic":
            spare = self.budget.ceiling.limit(self.maps) - sum(self.stored.values())
            most = min(most, own + max(0, spare))
        return next((width for width in self.budget.bits.widths if fmap.elements * width <= most), None)

    def _error(self, fmap: FeatureMap, codec: Codec, observed: MapStatistics, target: Tensor) -> float:
        decoded = decode_as_read(fmap, codec, observed.before.sample[:_IMAGES], observed.after.sample[:_IMAGES])
        return reader_error(fmap, self.readers(fmap), target[:_IMAGES], decoded)


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
def _bits(fmap: FeatureMap, codec: Codec, observed: MapStatistics) -> int:
    side = observed.after if codec.side == "after" else observed.before
    return int(codec.encode(side.sample[:1]).bits_per_image()[0])
