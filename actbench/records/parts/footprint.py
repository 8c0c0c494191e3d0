"""Footprint: the bits that are stored of feature maps."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator
from typing_extensions import Self

from actbench.feature_map import FLOAT_BITS
from actbench.records.column import Column, ratio, share
from actbench.records.packed import Integers
from actbench.records.parts.implied import expect, mean, quantile, require
from actbench.records.parts.part import Count, NonNegative, OptionValue, Part, PositiveCount

KEPT_SAMPLES = 20_000
"""Images whose bits are kept one by one, where they differ."""


class Spread(Part):
    """Bits an image over the evaluation images; `samples` are left out where all are the same."""

    mean: NonNegative
    percentile_99: NonNegative
    maximum: Count
    samples: Integers | None = None

    @model_validator(mode="after")
    def _is_what_samples_say(self) -> Self:
        if self.samples is None:
            require(self.mean <= self.maximum, f"mean {self.mean} is above maximum {self.maximum}")
            require(self.percentile_99 <= self.maximum, f"percentile_99 {self.percentile_99} is above the maximum")
            return self
        require(bool(self.samples), "samples are empty")
        expect("maximum", self.maximum, max(self.samples), "by the samples")
        expect("mean", self.mean, mean(self.samples), "by the samples")
        expect("percentile_99", self.percentile_99, quantile(self.samples, 0.99), "by the samples")
        return self

    def check_images(self, images: int) -> None:
        """Raises ValueError where samples are not of so many images, or are missing though bits differ."""
        if self.samples is not None:
            require(len(self.samples) == images, f"samples of {len(self.samples)} images, quality of {images}")
        elif images <= KEPT_SAMPLES:
            require(self.mean == self.percentile_99 == self.maximum, "samples are missing, and bits differ")


class StoredMap(Part):
    """One feature map: what it was, and what was stored of it. `fallbacks`: images for which a data-dependent codec
    had to take a cheaper setting to stay under the ceiling. `plain`: whether the map was stored in plain codes, and not
    by the method's own codec; None in records from before that was asked."""

    name: str
    channels: PositiveCount
    height: PositiveCount
    width: PositiveCount
    elements: PositiveCount
    producer: str
    readers: list[str]
    shared: bool
    choices: dict[str, OptionValue]
    bits: Spread
    side_bits: NonNegative
    static_bits: Count
    fallbacks: Count | None = None
    plain: bool | None = None

    @model_validator(mode="after")
    def _has_its_size(self) -> Self:
        expect("elements", self.elements, self.channels * self.height * self.width, "by channels, height and width")
        require(self.side_bits <= self.bits.mean, f"side_bits {self.side_bits} are more than all of its bits")
        return self


class Convention(Part):
    """Peak and sum, in bits an image, as another way of counting feature maps sees them; and in fp32."""

    peak: Count
    traffic: Count | None
    reference_peak: Count
    reference_traffic: Count | None

    @model_validator(mode="after")
    def _no_part_is_more_than_the_whole(self) -> Self:
        for part, whole in ((self.peak, self.traffic), (self.reference_peak, self.reference_traffic)):
            require(whole is None or part <= whole, f"a peak of {part} bits in a traffic of {whole}")
        return self


class Footprint(Part):
    """Bits in the payloads of one image, side information included. `limit`: what the ceiling allows."""

    limit: Count | None
    peak: Spread
    traffic: Spread
    reference_peak: Count
    reference_traffic: Count
    bits_per_value: NonNegative
    side_bits: NonNegative
    static_bits: Count
    activations: Convention
    live: Convention
    maps: Annotated[list[StoredMap], Field(min_length=1)]

    @model_validator(mode="after")
    def _is_what_maps_say(self) -> Self:
        require(len({part.name for part in self.maps}) == len(self.maps), "maps: two have one name")
        require(self.activations.traffic is not None, "activations.traffic is missing")
        require(self.activations.reference_traffic is not None, "activations.reference_traffic is missing")
        self._check_references()
        self._check_worst_image()
        elements, means = sum(part.elements for part in self.maps), sum(part.bits.mean for part in self.maps)
        expect("traffic.mean", self.traffic.mean, means, "by the maps")
        expect("bits_per_value", self.bits_per_value, self.traffic.mean / elements, "by traffic and maps")
        expect("side_bits", self.side_bits, sum(part.side_bits for part in self.maps), "by the maps")
        expect("static_bits", self.static_bits, sum(part.static_bits for part in self.maps), "by the maps")
        return self

    @property
    def own(self) -> float | None:
        """The share of the values that the row's own codec stored."""
        if any(part.plain is None for part in self.maps):
            return None
        return sum(part.elements for part in self.maps if not part.plain) / sum(part.elements for part in self.maps)

    @property
    def spreads(self) -> list[Spread]:
        """Of the maps, of the largest and of all."""
        return [self.peak, self.traffic, *(part.bits for part in self.maps)]

    def counted(self, kind: str) -> tuple[int, int]:
        """The bits that a kind of ceiling counts (`peak`, `traffic`, `live`), of the worst image, and those of fp32."""
        return {
            "peak": (self.peak.maximum, self.reference_peak),
            "traffic": (self.traffic.maximum, self.reference_traffic),
            "live": (self.live.peak, self.live.reference_peak),
        }[kind]

    def _check_references(self) -> None:
        sizes = [FLOAT_BITS * part.elements for part in self.maps]
        expect("reference_peak", self.reference_peak, max(sizes), "by the largest map")
        expect("reference_traffic", self.reference_traffic, sum(sizes), "by the maps")

    def _check_worst_image(self) -> None:
        maxima = [part.bits.maximum for part in self.maps]
        expect("peak.maximum", self.peak.maximum, max(maxima), "by the maps")
        between = max(maxima) <= self.traffic.maximum <= sum(maxima)
        require(between, f"traffic.maximum {self.traffic.maximum} is not between its largest map and the sum of all")
        if all(part.bits.mean == part.bits.maximum for part in self.maps):
            expect("traffic.maximum", self.traffic.maximum, sum(maxima), "by the maps")
        elif self.traffic.samples is not None:
            self._check_every_image(len(self.traffic.samples))

    def _check_every_image(self, images: int) -> None:
        rows = [part.bits.samples or [part.bits.maximum] * images for part in self.maps]
        require(all(len(row) == images for row in rows), "maps: samples of other images than those of traffic")
        require(
            list(map(sum, zip(*rows, strict=True))) == self.traffic.samples, "traffic.samples are not those of maps"
        )
        largest = self.peak.samples or [self.peak.maximum] * images
        require(list(map(max, zip(*rows, strict=True))) == largest, "peak.samples are not those of the maps")


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
        "live_ratio",
        "live",
        "bits in memory at once while a layer computes, what it reads, what waits and what it writes: fp32 / stored",
        lambda part: part.live.reference_peak / max(1, part.live.peak),
        ratio,
        better="more",
    ),
    Column[Footprint](
        "own",
        "own",
        "share of the values that the row's own codec stored; the others are in plain codes",
        lambda part: part.own,
        share,
        better="more",
        repeats="exact",
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
