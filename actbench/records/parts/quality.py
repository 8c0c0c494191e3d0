"""Quality: how good a network's outputs are, and how sure that is."""

from __future__ import annotations

from pydantic import FiniteFloat, model_validator
from typing_extensions import Self

from actbench.info import Better
from actbench.records.column import Column, signed_number
from actbench.records.packed import Floats
from actbench.records.parts.implied import EXACT, expect, mean, require
from actbench.records.parts.part import Interval, Part, PositiveCount


class Quality(Part):
    """The workload's metric on its evaluation images, and its difference to the fp32 network on the same images.

    Intervals: 95 %, by bootstrap over the images, paired for the difference. `per_image`: the statistic of each image
    where it is a single number (1 right, 0 wrong, for top-1). `pseudo_values`: what each image contributes to a metric
    that is no mean of these, by the jackknife. `reference_point`: the quality from which hypervolumes count, as the
    workload publishes it. What a workload, or an older record, has not is None. `better`: whether more of the metric is
    better, or less; of records that do not say so, more.
    """

    metric: str
    unit: str
    value: FiniteFloat
    interval: Interval
    reference: FiniteFloat
    difference: FiniteFloat
    difference_interval: Interval
    images: PositiveCount
    per_image: Floats | None
    pseudo_values: Floats | None = None
    reference_point: FiniteFloat | None = None
    better: Better | None = None

    @model_validator(mode="after")
    def _is_what_it_implies(self) -> Self:
        expect("difference", self.difference, self.value - self.reference, "by value and reference", scale=self._scale)
        if self.unit == "%":
            self._check_percentages()
        if self.per_image is not None:
            self._check_images(self.per_image)
        if self.pseudo_values is not None:
            self._check_pseudo_values(self.pseudo_values)
        self._check_inside("value", self.value, self.interval)
        self._check_inside("difference", self.difference, self.difference_interval)
        return self

    @property
    def sign(self) -> int:
        """What the value is multiplied by so that more is better: 1, or −1 of an error."""
        return -1 if self.better == "less" else 1

    @property
    def decimals(self) -> int:
        """How many decimals it is shown with: two of shares and decibels, four of what may be small."""
        return 2 if self.unit in ("%", "dB") else 4

    @property
    def factor(self) -> float | None:
        """What the mean of `per_image` is multiplied by to give the value; None where that is not how it is made."""
        if self.per_image is None:
            return None
        if self._counts_hits:
            return 100.0
        return 1.0 if abs(self.value - mean(self.per_image)) <= EXACT * abs(self.value) else None

    @property
    def of_images(self) -> list[float] | None:
        """A value for each image, in the metric's unit, whose mean is the quality, but for its bias; None where that
        is not known."""
        factor = self.factor
        if self.per_image is None or factor is None:
            return self.pseudo_values
        return [factor * value for value in self.per_image]

    @property
    def _counts_hits(self) -> bool:
        return self.unit == "%" and self.per_image is not None and set(self.per_image) <= {0.0, 1.0}

    @property
    def _scale(self) -> float:
        return max(abs(self.value), abs(self.reference))

    def _check_percentages(self) -> None:
        point = () if self.reference_point is None else (self.reference_point,)
        values = {"reference": (self.reference,), "value": (self.value,), "reference_point": point}
        for field, ends in {"interval": self.interval, **values}.items():
            inside = all(-EXACT <= end <= 100 + EXACT for end in ends)
            require(inside, f"{field} is not between 0 and 100 %")
        inside = all(abs(end) <= 100 + EXACT for end in self.difference_interval)
        require(inside, "difference_interval is not between -100 and 100 %")

    def _check_images(self, per_image: list[float]) -> None:
        expect("images", self.images, len(per_image), "values are in per_image")
        if self._counts_hits:
            expect("value", self.value, 100 * mean(per_image), "by per_image", scale=1)

    def _check_pseudo_values(self, values: list[float]) -> None:
        """Their mean is the value but for the metric's bias, which is less than the width of its interval."""
        expect("images", self.images, len(values), "values are in pseudo_values")
        slack = EXACT * self._scale + self.interval[1] - self.interval[0]
        require(abs(mean(values) - self.value) <= slack, f"pseudo_values have a mean of {mean(values)}")

    def _check_inside(self, field: str, value: float, ends: tuple[float, float]) -> None:
        """A mean lies within its bootstrap interval. What is no mean of one number an image may be biased by it, but
        by less than its width."""
        slack = EXACT * self._scale + (ends[1] - ends[0] if self.per_image is None else 0.0)
        require(ends[0] - slack <= value <= ends[1] + slack, f"{field} {value} is outside of its interval")


COLUMNS = (
    Column[Quality]("metric", "metric", "metric and unit", lambda part: f"{part.metric} {part.unit}".strip()),
    Column[Quality](
        "quality",
        "quality",
        "on the evaluation images, in the metric's unit, ± half of the 95 % bootstrap interval",
        lambda part: part.value,
        better="more",
        direction=lambda part: part.better or "more",
        decimals=lambda part: part.decimals,
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
        direction=lambda part: part.better or "more",
        decimals=lambda part: part.decimals,
        interval=lambda part: part.difference_interval,
    ),
    Column[Quality]("images", "images", "of evaluation", lambda part: part.images),
    Column[Quality](
        "reference_point",
        "reference point",
        "the quality from which hypervolumes count, in the metric's unit, as the workload publishes it: chance level",
        lambda part: part.reference_point,
    ),
)
