"""Footprint: the bits that are stored of feature maps."""

from __future__ import annotations

from pydantic import FiniteFloat, NonNegativeInt

from actbench.records.column import Column, ratio
from actbench.records.packed import Integers
from actbench.records.parts.part import OptionValue, Part


class Spread(Part):
    """Bits an image over the evaluation images; `samples` are left out where all are the same."""

    mean: FiniteFloat
    percentile_99: FiniteFloat
    maximum: NonNegativeInt
    samples: Integers | None = None


class StoredMap(Part):
    """One feature map: what it was, and what was stored of it. `fallbacks`: images for which a data-dependent codec
    had to take a cheaper setting to stay under the ceiling."""

    name: str
    channels: int
    height: int
    width: int
    elements: int
    producer: str
    readers: list[str]
    shared: bool
    choices: dict[str, OptionValue]
    bits: Spread
    side_bits: FiniteFloat
    static_bits: NonNegativeInt
    fallbacks: NonNegativeInt | None = None


class Convention(Part):
    """Peak and sum, in bits an image, as another way of counting feature maps sees them; and in fp32."""

    peak: NonNegativeInt
    traffic: NonNegativeInt | None
    reference_peak: NonNegativeInt
    reference_traffic: NonNegativeInt | None


class Footprint(Part):
    """Bits in the payloads of one image, side information included. `limit`: what the ceiling allows."""

    limit: NonNegativeInt | None
    peak: Spread
    traffic: Spread
    reference_peak: NonNegativeInt
    reference_traffic: NonNegativeInt
    bits_per_value: FiniteFloat
    side_bits: FiniteFloat
    static_bits: NonNegativeInt
    activations: Convention
    live: Convention
    maps: list[StoredMap]


COLUMNS = (
    Column[Footprint](
        "peak_ratio",
        "peak",
        "bits of the largest map, side information included: fp32 / stored, the worst image",
        lambda part: part.reference_peak / max(1, part.peak.maximum),
        ratio,
        better="more",
    ),
    Column[Footprint](
        "traffic_ratio",
        "traffic",
        "bits of all maps together, side information included: fp32 / stored, the worst image",
        lambda part: part.reference_traffic / max(1, part.traffic.maximum),
        ratio,
        better="more",
    ),
    Column[Footprint](
        "peak_bits",
        "peak bits",
        "of the largest map, the worst image",
        lambda part: part.peak.maximum,
        better="less",
        repeats="exact",
    ),
    Column[Footprint](
        "peak_bits_mean",
        "mean peak bits",
        "of the largest map, the mean over images",
        lambda part: part.peak.mean,
        better="less",
        repeats="exact",
    ),
    Column[Footprint](
        "traffic_bits",
        "traffic bits",
        "of all maps together, the worst image",
        lambda part: part.traffic.maximum,
        better="less",
        repeats="exact",
    ),
    Column[Footprint](
        "traffic_bits_mean",
        "mean traffic bits",
        "of all maps together, the mean over images",
        lambda part: part.traffic.mean,
        better="less",
        repeats="exact",
    ),
    Column[Footprint]("side_bits", "side bits", "of an image: bit-maps, indices, scales", lambda part: part.side_bits),
    Column[Footprint](
        "static_bits", "static bits", "of tables that no image changes", lambda part: part.static_bits, better="less"
    ),
)
