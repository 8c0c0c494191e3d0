"""Latency: seconds of a call, beside those of a baseline in turn."""

from __future__ import annotations

from pydantic import FiniteFloat

from actbench.records.column import Column, ratio
from actbench.records.packed import Floats
from actbench.records.parts.part import Interval, Part


class Timing(Part):
    """Seconds of repeated calls: median, first and third quartile, and every sample in the order it was taken."""

    median: FiniteFloat
    quartiles: Interval
    samples: Floats


class Comparison(Part):
    """Seconds for one batch of `batch` images, and subject / baseline: the median and quartiles over the rounds of
    the quotient in each round, so that a machine that slows down for a while slows both."""

    batch: int
    subject: Timing
    baseline: Timing
    ratio: FiniteFloat
    ratio_quartiles: Interval


class Latency(Comparison):
    """The deployed form beside the fp32 network; of one call the seconds in encoders and in decoders."""

    encode: FiniteFloat
    decode: FiniteFloat


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
)
