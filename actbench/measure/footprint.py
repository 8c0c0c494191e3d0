"""Footprint: the bits that payloads hold, image by image, and whether they are what they claim to be."""

from __future__ import annotations

import copy
from array import array
from collections.abc import Mapping
from statistics import fmean

import torch
from torch import Tensor

from actbench.codec.codec import Codec
from actbench.codec.packing import Layout, layout, pack, unpack
from actbench.codec.payload import Payload
from actbench.codec.plain import PlainCodec
from actbench.errors import InvalidCodec
from actbench.feature_map import FeatureMap
from actbench.network.conventions import activation_bits, live_peak
from actbench.network.splice import PayloadListener, Spliced
from actbench.network.trace import TracedNetwork
from actbench.records.parts.footprint import KEPT_SAMPLES, Convention, Footprint, Spread, StoredMap

_ALONE_TOLERANCE = 0.02
"""The share of values that may differ between an image in a batch and the same image alone."""


class Meter:
    """Counts the bits of every payload while the network runs. Enter it, run the images, then ask it for the bits of
    each map. What is kept of all images is in one array a map: a small tensor of each batch would lie between the large
    ones that are freed, and keep the allocator from giving their memory to the next batch."""

    def __init__(self, spliced: Spliced) -> None:
        self._bits: dict[str, array[int]] = {}
        self._side: dict[str, array[int]] = {}
        self._fallbacks: dict[str, int] = {}
        self.layouts: dict[str, Layout] = {}
        self._encoders = spliced.encoders()

    def __enter__(self) -> Meter:
        for name, encoder in self._encoders.items():
            encoder.observer = lambda _, payload, name=name: self._count(name, payload)
        return self

    def __exit__(self, *_: object) -> None:
        for encoder in self._encoders.values():
            encoder.observer = None

    def _count(self, name: str, payload: Payload) -> None:
        form = layout(payload)
        if self.layouts.setdefault(name, form) != form:
            raise InvalidCodec(f"{name}: the payload's layout changes from image to image, which nobody counts")
        self._bits.setdefault(name, array("q")).extend(payload.bits_per_image().tolist())
        self._side.setdefault(name, array("q")).extend(payload.bits_per_image(side_only=True).tolist())
        fallen = self._encoders[name].codec.fallbacks(payload)
        if fallen is not None:
            self._fallbacks[name] = self._fallbacks.get(name, 0) + int(fallen.sum())

    def bits(self, fmap: FeatureMap) -> Tensor:
        """The bits stored for a map, (images,) int64; a map without a codec is stored in fp32."""
        counted = self._bits.get(fmap.name, [fmap.bits])
        return torch.tensor(counted, dtype=torch.int64)

    def fallbacks(self, fmap: FeatureMap) -> int | None:
        """Images for which a data-dependent codec had to fall back; None where no codec counts them."""
        return self._fallbacks.get(fmap.name)

    def side_bits(self, fmap: FeatureMap) -> float:
        """The mean of the side information's bits."""
        return fmean(self._side[fmap.name]) if fmap.name in self._side else 0.0


def measure_footprint(
    network: TracedNetwork,
    codecs: Mapping[str, Codec],
    tables: Mapping[str, int],
    meter: Meter,
    limit: int | None,
    reference_live: int,
) -> Footprint:
    """The record's footprint of what a meter counted. `tables`: static bits of the deployed form, by the map's name;
    `limit`: the bits that the ceiling allows, None without one; `reference_live`: bits alive at once in the fp32
    network."""
    maps = network.maps
    bits = torch.stack(torch.broadcast_tensors(*(meter.bits(fmap) for fmap in maps)))
    rows = [_row(fmap, codecs.get(fmap.name), tables.get(fmap.name, 0), meter) for fmap in maps]
    traffic = bits.sum(0)
    stored = {fmap.name: int(meter.bits(fmap).max()) for fmap in maps}
    live = live_peak(network, {fmap.name: meter.bits(fmap) for fmap in maps})
    return Footprint(
        limit=limit,
        peak=spread(bits.amax(0)),
        traffic=spread(traffic),
        reference_peak=max(fmap.bits for fmap in maps),
        reference_traffic=sum(fmap.bits for fmap in maps),
        bits_per_value=float(traffic.double().mean()) / sum(fmap.elements for fmap in maps),
        side_bits=sum(row.side_bits for row in rows),
        static_bits=sum(row.static_bits for row in rows),
        activations=_activations(network, stored, codecs),
        live=Convention(peak=live, traffic=None, reference_peak=reference_live, reference_traffic=None),
        maps=rows,
    )


def _activations(network: TracedNetwork, stored: Mapping[str, int], codecs: Mapping[str, Codec]) -> Convention:
    bits = activation_bits(network, stored, {name: codec.side for name, codec in codecs.items()})
    reference = [fmap.bits for fmap in network.activations]
    return Convention(
        peak=max(bits, default=0),
        traffic=sum(bits),
        reference_peak=max(reference, default=0),
        reference_traffic=sum(reference),
    )


def spread(bits: Tensor) -> Spread:
    """Mean, 99th percentile, maximum; the samples too where they differ."""
    values = bits.double()
    constant = bool((bits == bits[0]).all())
    return Spread(
        mean=float(values.mean()),
        percentile_99=float(values.quantile(0.99)),
        maximum=int(bits.max()),
        samples=None if constant or len(bits) > KEPT_SAMPLES else bits.tolist(),
    )


def _row(fmap: FeatureMap, codec: Codec | None, table: int, meter: Meter) -> StoredMap:
    return StoredMap(
        name=fmap.name,
        channels=fmap.channels,
        height=fmap.height,
        width=fmap.width,
        elements=fmap.elements,
        producer=fmap.producer,
        readers=[reader.name for reader in fmap.readers],
        shared=fmap.shared,
        choices=codec.describe() if codec else {},
        bits=spread(meter.bits(fmap)),
        side_bits=meter.side_bits(fmap),
        static_bits=table,
        fallbacks=meter.fallbacks(fmap),
        plain=codec is None or isinstance(codec, PlainCodec),
    )


def check_payloads(spliced: Spliced, images: Tensor, others: Tensor) -> None:
    """Packs what each codec stores for `images`, unpacks it, and decodes it in a copy of the codec that has seen none
    of them, after the codec itself has encoded `others`; and encodes each image alone, as bits are counted at batch 1.

    Raises InvalidCodec where bits or values differ. What all copies of a codec share, a class attribute say, and
    address by what the payload holds is beyond the reach of a check within one process.
    """
    encoders = spliced.encoders()
    for name, encoder in encoders.items():
        encoder.observer = _checking(name, encoder.codec, len(images))
    try:
        with torch.no_grad():
            spliced.module(torch.cat([images, others]))
    finally:
        for encoder in encoders.values():
            encoder.observer = None


def _checking(name: str, codec: Codec, images: int) -> PayloadListener:
    """Checks a codec on what it gets to encode, at once: no map lives longer than the network needs it."""
    used, untouched = copy.deepcopy(codec), copy.deepcopy(codec)

    def check(x: Tensor, _: Payload) -> None:
        check_packed(name, used, untouched, x[:images], x[images:])
        _check_alone(name, used, untouched, x[:images])

    return check


def check_packed(
    name: str, codec: Codec, untouched: Codec, x: Tensor, other: Tensor, *, same_layout: bool = True
) -> None:
    """What `check_payloads` does with one codec, whose copy `untouched` has seen no image. `same_layout`: payloads of
    x and `other` have the same form. Raises InvalidCodec."""
    payload = codec.encode(x)
    form, packed = layout(payload), pack(payload)
    claimed = payload.bits_per_image().tolist()
    expected = codec.decode(payload).clone()
    for image, bits in zip(packed, claimed, strict=True):
        if not 0 <= len(image) * 8 - bits < 8:
            raise InvalidCodec(f"{name} claims {bits} bits and packs into {len(image)} bytes")
    if layout(codec.encode(other)) != form and same_layout:
        raise InvalidCodec(f"{name}: the payload's layout changes from image to image, which nobody counts")
    try:
        decoded = untouched.decode(unpack(packed, form, x.device))
    except Exception as error:
        raise InvalidCodec(
            f"{name}: decode fails on the packed payload alone: {type(error).__name__}: {error}"
        ) from error
    if decoded.shape != expected.shape or not torch.allclose(decoded, expected, rtol=1e-5, atol=1e-6, equal_nan=True):
        raise InvalidCodec(f"{name}: decode gives other values from the packed payload alone: it uses more than that")


def _check_alone(name: str, codec: Codec, untouched: Codec, x: Tensor) -> None:
    """Products of other sizes round otherwise, so that a code here and there may differ; not more."""
    payload = codec.encode(x)
    together, bits = codec.decode(payload), payload.bits_per_image()
    for index in range(len(x)):
        alone = untouched.encode(x[index : index + 1])
        if int(alone.bits_per_image()[0]) != int(bits[index]):
            raise InvalidCodec(
                f"{name} stores {int(bits[index])} bits for an image in a batch, other bits for it alone"
            )
        differs = ~torch.isclose(untouched.decode(alone)[0], together[index], rtol=1e-3, atol=1e-4, equal_nan=True)
        if differs.float().mean() > _ALONE_TOLERANCE:
            raise InvalidCodec(f"{name} decodes an image in a batch to other values than alone: images share payloads")
