"""Refit: linear decoders by least squares, on quantised codes, towards the fp32 network's map."""

from __future__ import annotations

import torch
from torch import Tensor

from actbench.codec.codec import Codec
from actbench.codec.linear_ends import readers_fold
from actbench.codec.linear_fit import fit_decoder
from actbench.codec.plain import PlainCodec, RefittedPlainCodec
from actbench.codec.protocols import Linear
from actbench.codec.statistics import MapStatistics
from actbench.feature_map import FeatureMap


def is_refitted(fmap: FeatureMap, codec: Codec) -> bool:
    """Whether `refitted` fits anything of a codec."""
    return isinstance(codec, Linear) or (type(codec) is PlainCodec and readers_fold(fmap))


@torch.no_grad()
def refitted(fmap: FeatureMap, codec: Codec, before: Tensor, after: Tensor, reference: MapStatistics) -> Codec:
    """The codec with its linear decoder fitted, in place, on the map as compressed maps leave it, (images, C, H, W)
    `before` its nonlinearity and `after` it, towards the map of the same images in the fp32 network. Plain codes get a
    decoder where all of the map's readers are convolutions that can take it in, so that no matrix is left behind. Other
    codecs stay as they are."""
    if type(codec) is PlainCodec and readers_fold(fmap):
        codec = RefittedPlainCodec(codec.quantizer, fmap.channels)
    if isinstance(codec, Linear):
        x = after if codec.side == "after" else before
        fit_decoder(codec.decoder, codec.read(x), _decoded_sample(codec, reference)[: len(x)])
    return codec


def _decoded_sample(codec: Codec, stats: MapStatistics) -> Tensor:
    """The sample of what it decodes to, without its errors."""
    return (stats.before if codec.side == "before" else stats.after).sample
