"""Training: how a network was trained, and what a step takes on the training track."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, FiniteFloat, model_validator
from typing_extensions import Self

from actbench.feature_map import FLOAT_BITS
from actbench.records.column import Column, ratio
from actbench.records.packed import Floats
from actbench.records.parts.implied import expect
from actbench.records.parts.latency import Comparison
from actbench.records.parts.part import Count, NonNegative, OptionValue, Part, PositiveCount

_ROUNDED = 1e-6
"""By so much a cosine of fp64 may be beyond 1."""


class Recovery(Part):
    """How the network was trained in the open division: the recipe's settings, and the loss of each step's batch before
    the step, and of one more after the last."""

    recipe: dict[str, OptionValue]
    losses: Floats


class WeightGradient(Part):
    """One weight's gradient on a fixed batch beside the exact one: cosine, and the error's norm over its norm."""

    name: str
    cosine: Annotated[FiniteFloat, Field(ge=-1 - _ROUNDED, le=1 + _ROUNDED)]
    relative_error: NonNegative


class Training(Part):
    """The training track. Bytes for one step's batch: really saved for backward (unique storages), in payloads (what
    the papers count; None without payloads), at the peak of a step, each beside the uncompressed network's.

    `largest_payload_bytes`: of the step of the training whose payloads had the most; None without codecs.
    `largest_batch`: images whose step fits in the uncompressed network's peak, by a straight line through the peaks of
    the batch and of half of it. `encode_seconds`, `gradient_seconds`: of a step, for encoding, and for the gradients of
    weights from what was saved. `losses`: before each step."""

    layers: list[str]
    batch: PositiveCount
    saved_bytes: Count
    reference_saved_bytes: Count
    payload_bytes: Count | None
    reference_payload_bytes: Count
    limit_bytes: Count | None
    peak_bytes: Count
    reference_peak_bytes: Count
    saved_by_module: dict[str, Count]
    choices: dict[str, dict[str, OptionValue]]
    largest_payload_bytes: Count | None = None
    largest_batch: Count | None = None
    encode_seconds: NonNegative | None = None
    gradient_seconds: NonNegative | None = None
    step: Comparison
    gradients: list[WeightGradient]
    losses: Floats

    @model_validator(mode="after")
    def _is_what_modules_say(self) -> Self:
        expect("saved_bytes", self.saved_bytes, sum(self.saved_by_module.values()), "by saved_by_module")
        expect("step.batch", self.step.batch, self.batch, "by batch")
        return self

    @property
    def payload_ratio(self) -> float | None:
        """Bytes of the trained layers' inputs in fp32 over those of their payloads; None without payloads."""
        return None if self.payload_bytes is None else self.reference_payload_bytes / max(1, self.payload_bytes)

    @property
    def most_payload_bytes(self) -> int:
        """The most bytes in the payloads of any step, of the training or the one that was measured; 0 without
        payloads. This is what the ceiling limits."""
        return max(self.payload_bytes or 0, self.largest_payload_bytes or 0)

    @property
    def bits_per_value(self) -> float | None:
        """Bits in payloads for each value of the trained layers' inputs."""
        if self.payload_bytes is None:
            return None
        return FLOAT_BITS * self.payload_bytes / max(1, self.reference_payload_bytes)

    def share_of_step(self, seconds: float | None) -> float | None:
        """Some seconds as a share of a step's time."""
        return None if seconds is None else seconds / self.step.subject.median


COLUMNS = (
    Column[Training](
        "saved_ratio",
        "saved",
        "bytes that autograd keeps for backward: of the network without compression / with it",
        lambda part: part.reference_saved_bytes / max(1, part.saved_bytes),
        ratio,
        better="more",
    ),
    Column[Training](
        "payload_ratio",
        "payload",
        "bytes of the trained layers' inputs alone, as papers count them: fp32 / payloads",
        lambda part: part.payload_ratio,
        ratio,
        better="more",
    ),
    Column[Training](
        "peak_step_ratio",
        "peak of a step",
        "bytes in live tensors at the peak of a step: with compression / without",
        lambda part: part.peak_bytes / max(1, part.reference_peak_bytes),
        ratio,
        better="less",
    ),
    Column[Training](
        "largest_batch",
        "batch",
        "images whose step fits in the peak of the uncompressed network's batch",
        lambda part: part.largest_batch,
        better="more",
    ),
    Column[Training](
        "step_ratio",
        "time of a step",
        "forward and backward with compression / without, in turn; the median of the rounds",
        lambda part: part.step.ratio,
        ratio,
        better="less",
        interval=lambda part: part.step.ratio_quartiles,
        repeats="ratio",
    ),
    Column[Training](
        "gradient_cosine",
        "gradient",
        "the lowest cosine of a weight's gradient to the exact one, on a fixed batch",
        lambda part: min((gradient.cosine for gradient in part.gradients), default=None),
        lambda value: f"{value:.3f}",
        better="more",
    ),
    Column[Training](
        "payload_bytes",
        "payload bytes",
        "of the trained layers' inputs, for a batch",
        lambda part: part.payload_bytes,
        better="less",
        repeats="exact",
    ),
    Column[Training](
        "largest_payload_bytes",
        "largest payload",
        "bytes of the trained layers' inputs in the step of the training that had the most",
        lambda part: part.largest_payload_bytes,
        better="less",
        repeats="exact",
    ),
    Column[Training](
        "saved_bytes",
        "saved bytes",
        "that autograd keeps for backward, for a batch",
        lambda part: part.saved_bytes,
        better="less",
        repeats="exact",
    ),
    Column[Training](
        "encode_share", "encoding", "of a step's time", lambda part: part.share_of_step(part.encode_seconds)
    ),
    Column[Training](
        "gradient_share",
        "gradients",
        "of a step's time: the gradients of weights from what was saved",
        lambda part: part.share_of_step(part.gradient_seconds),
    ),
)
