"""Refit: linear decoders by least squares, on quantised codes, towards the fp32 network's map."""

from __future__ import annotations

import torch
from torch import Tensor

from actbench.codec.codec import Codec
from actbench.codec.linear_fit import fit_decoder
from actbench.codec.plain import PlainCodec, RefittedPlainCodec
from actbench.codec.protocols import Linear
from actbench.codec.statistics import MapStatistics
from actbench.feature_map import FeatureMap


@torch.no_grad()
def refitted(fmap: FeatureMap, codec: Codec, observed: MapStatistics, reference: MapStatistics) -> Codec:
    """The codec with its linear decoder fitted, in place, on the map as it was `observed` behind compressed maps,
    towards the map of the same images in the fp32 network. Plain codes get a decoder where all of the map's readers are
    convolutions that can take it in, so that no matrix is left behind. Other codecs stay as they are."""
    if type(codec) is PlainCodec and _folds(fmap):
        codec = RefittedPlainCodec(codec.quantizer, fmap.channels)
    if isinstance(codec, Linear):
        x = encoded_sample(codec, observed)
        fit_decoder(codec.decoder, codec.read(x), _decoded_sample(codec, reference)[: len(x)])
    return codec


def encoded_sample(codec: Codec, stats: MapStatistics) -> Tensor:
    """The sample of what a codec encodes, (images, C, H, W)."""
    return (stats.after if codec.side == "after" else stats.before).sample


def _decoded_sample(codec: Codec, stats: MapStatistics) -> Tensor:
    """The sample of what it decodes to, without its errors."""
    return (stats.before if codec.side == "before" else stats.after).sample


def _folds(fmap: FeatureMap) -> bool:
    readers = fmap.readers
    return not fmap.channels_last and all(reader.operation == "conv" and reader.groups == 1 for reader in readers)
