"""Latency: seconds of a call, beside those of a baseline in turn."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import model_validator
from typing_extensions import Self

from actbench.records.column import Column, ratio
from actbench.records.packed import PositiveFloats
from actbench.records.parts.implied import expect, quantile, require
from actbench.records.parts.part import Count, Interval, NonNegative, Part, Positive, PositiveCount


class Timing(Part):
    """Seconds of repeated calls: median, first and third quartile, and every sample in the order it was taken."""

    median: Positive
    quartiles: Interval
    samples: PositiveFloats

    @model_validator(mode="after")
    def _is_what_samples_say(self) -> Self:
        _check_quartiles("median", self.median, "quartiles", self.quartiles, self.samples)
        return self


class Comparison(Part):
    """Seconds for one batch of `batch` images, and subject / baseline: the median and quartiles over the rounds of
    the quotient in each round, so that a machine that slows down for a while slows both."""

    batch: PositiveCount
    subject: Timing
    baseline: Timing
    ratio: Positive
    ratio_quartiles: Interval

    @model_validator(mode="after")
    def _is_what_rounds_say(self) -> Self:
        ours, theirs = self.subject.samples, self.baseline.samples
        require(len(ours) == len(theirs), f"subject.samples has {len(ours)} rounds, baseline.samples {len(theirs)}")
        rounds = [mine / other for mine, other in zip(ours, theirs, strict=True)]
        _check_quartiles("ratio", self.ratio, "ratio_quartiles", self.ratio_quartiles, rounds)
        return self


class Compiled(Part):
    """The compiled deployed form, one image at a time, beside the fp32 network compiled (`single`) and as it comes
    (`eager`). Of the deployed form's `units`, each a graph of operators on the tensors of a stripe, so many are
    `compiled`. `first_call`: seconds of the first call, in which they are."""

    single: Comparison
    eager: Comparison
    units: PositiveCount
    compiled: Count
    first_call: Positive

    @model_validator(mode="after")
    def _compiled_are_among_units(self) -> Self:
        require(self.compiled <= self.units, f"compiled is {self.compiled}, and there are {self.units} units")
        return self


class Latency(Comparison):
    """The deployed form beside the fp32 network; of one call the seconds in encoders, in decoders, and in the layers.
    `single`: the same for a batch of one image. `first_call`: seconds of the first call of all, with that one image,
    when nothing is warm. `compiled`: where that was asked for. What older records lack is None."""

    encode: NonNegative
    decode: NonNegative
    layers: NonNegative | None = None
    single: Comparison | None = None
    first_call: Positive | None = None
    compiled: Compiled | None = None


def _check_quartiles(
    middle: str, median: float, outer: str, quartiles: tuple[float, float], samples: Sequence[float]
) -> None:
    require(bool(samples), "samples are missing")
    expect(middle, median, quantile(samples, 0.5), "by the samples")
    for quartile, share in zip(quartiles, (0.25, 0.75), strict=True):
        expect(outer, quartile, quantile(samples, share), "by the samples")


COLUMNS = (
    Column[Latency](
        "latency_ratio",
        "latency",
        "time of the deployed form / time of the fp32 network, in turn; the median of the rounds",
        lambda part: part.ratio,
        ratio,
        better="less",
        interval=lambda part: part.ratio_quartiles,
        repeats="ratio",
    ),
    Column[Latency](
        "single_latency_ratio",
        "latency, batch 1",
        "the same for a batch of one image",
        lambda part: part.single.ratio if part.single else None,
        ratio,
        better="less",
        interval=lambda part: part.single.ratio_quartiles if part.single else None,
        repeats="ratio",
    ),
    Column[Latency](
        "compiled_latency_ratio",
        "latency, compiled",
        "time of the compiled deployed form / time of the compiled fp32 network, in turn, for one image",
        lambda part: part.compiled.single.ratio if part.compiled else None,
        ratio,
        better="less",
        interval=lambda part: part.compiled.single.ratio_quartiles if part.compiled else None,
        repeats="ratio",
    ),
    Column[Latency](
        "compiled_eager_ratio",
        "latency, compiled / eager",
        "time of the compiled deployed form / time of the fp32 network as it comes, in turn, for one image",
        lambda part: part.compiled.eager.ratio if part.compiled else None,
        ratio,
        better="less",
        interval=lambda part: part.compiled.eager.ratio_quartiles if part.compiled else None,
        repeats="ratio",
    ),
)
