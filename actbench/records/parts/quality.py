"""Quality: how good a network's outputs are, and how sure that is."""

from __future__ import annotations

from pydantic import FiniteFloat, NonNegativeInt

from actbench.records.column import Column, signed_number
from actbench.records.packed import Floats
from actbench.records.parts.part import Interval, Part


class Quality(Part):
    """The workload's metric on its evaluation images, and its difference to the fp32 network on the same images.

    Intervals: 95 %, by bootstrap over the images, paired for the difference. `per_image`: the statistic of each image
    where it is a single number (1 right, 0 wrong, for top-1).
    """

    metric: str
    unit: str
    value: FiniteFloat
    interval: Interval
    reference: FiniteFloat
    difference: FiniteFloat
    difference_interval: Interval
    images: NonNegativeInt
    per_image: Floats | None


COLUMNS = (
    Column[Quality]("metric", "metric", "metric and unit", lambda part: f"{part.metric} {part.unit}".strip()),
    Column[Quality](
        "quality",
        "quality",
        "on the evaluation images, in the metric's unit, ± half of the 95 % bootstrap interval",
        lambda part: part.value,
        better="more",
        interval=lambda part: part.interval,
        repeats="interval",
    ),
    Column[Quality](
        "difference",
        "Δ",
        "to the network without compression on the same images, ± half of the paired 95 % bootstrap interval",
        lambda part: part.difference,
        signed_number,
        better="more",
        interval=lambda part: part.difference_interval,
    ),
    Column[Quality]("images", "images", "of evaluation", lambda part: part.images),
)
