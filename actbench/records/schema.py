"""The form of a record. What is read from disk is checked against it; JSON has no NaN, and neither has a record."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, NonNegativeInt, model_validator

from actbench.errors import UserError
from actbench.spec import CellSpec

FORMAT: Literal[1] = 1
"""The version of this form."""

Status = Literal["ok", "over_ceiling", "unsupported", "oom", "timeout", "crash", "invalid"]
Interval = tuple[FiniteFloat, FiniteFloat]
OptionValue = bool | int | FiniteFloat | str


class Part(BaseModel):
    """A part of a record: unknown fields are errors, and nothing changes once it is made."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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
    per_image: list[FiniteFloat] | None


class Spread(Part):
    """Bits an image over the evaluation images; `samples` are left out where all are the same."""

    mean: FiniteFloat
    percentile_99: FiniteFloat
    maximum: NonNegativeInt
    samples: list[NonNegativeInt] | None = None


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


class Compute(Part):
    """Multiply-accumulates and bit operations of one image, in the deployed form and before folding."""

    macs: NonNegativeInt
    macs_unfolded: NonNegativeInt
    reference_macs: NonNegativeInt
    bit_operations: NonNegativeInt
    reference_bit_operations: NonNegativeInt


class Parameters(Part):
    """Numbers of parameters: of the original, added by codecs, and in the deployed form."""

    original: NonNegativeInt
    added: NonNegativeInt
    deployed: NonNegativeInt


class Timing(Part):
    """Seconds for one batch."""

    median: FiniteFloat
    quartiles: Interval
    samples: list[FiniteFloat]


class Latency(Part):
    """The deployed form and the fp32 network in turn, and the ratio round by round; encode and decode in seconds."""

    batch: int
    subject: Timing
    baseline: Timing
    ratio: FiniteFloat
    ratio_quartiles: Interval
    encode: FiniteFloat
    decode: FiniteFloat


class Memory(Part):
    """Peak bytes while one image passes through the deployed form, beside the fp32 network's."""

    peak_bytes: NonNegativeInt
    reserved_bytes: NonNegativeInt | None
    source: str
    reference_peak_bytes: NonNegativeInt


class Recovery(Part):
    """How the network was trained in the open division: the recipe's settings, and the loss of each step's batch before
    the step, and of one more after the last."""

    recipe: dict[str, OptionValue]
    losses: list[FiniteFloat]


class WeightGradient(Part):
    """One weight's gradient on a fixed batch beside the exact one: cosine, and the error's norm over its norm."""

    name: str
    cosine: FiniteFloat
    relative_error: FiniteFloat


class StepTime(Part):
    """Seconds of one step, forward and backward, and of the uncompressed network's, in turn; the ratio by round."""

    batch: int
    subject: Timing
    baseline: Timing
    ratio: FiniteFloat
    ratio_quartiles: Interval


class Training(Part):
    """The training track. Bytes for one step's batch: really saved for backward (unique storages), in payloads (what
    the papers count; None without payloads), at the peak of a step, each beside the uncompressed network's.

    `largest_batch`: images whose step fits in the uncompressed network's peak, by a straight line through the peaks of
    the batch and of half of it. `encode_seconds`, `gradient_seconds`: of a step, for encoding, and for the gradients of
    weights from what was saved. `losses`: before each step."""

    layers: list[str]
    batch: NonNegativeInt
    saved_bytes: NonNegativeInt
    reference_saved_bytes: NonNegativeInt
    payload_bytes: NonNegativeInt | None
    reference_payload_bytes: NonNegativeInt
    limit_bytes: NonNegativeInt | None
    peak_bytes: NonNegativeInt
    reference_peak_bytes: NonNegativeInt
    saved_by_module: dict[str, NonNegativeInt]
    choices: dict[str, dict[str, OptionValue]]
    largest_batch: NonNegativeInt | None = None
    encode_seconds: FiniteFloat | None = None
    gradient_seconds: FiniteFloat | None = None
    step: StepTime
    gradients: list[WeightGradient]
    losses: list[FiniteFloat]


class Measurements(Part):
    """All that was measured. A part is missing where the cell ended before it."""

    recovery: Recovery | None = None
    training: Training | None = None
    quality: Quality | None = None
    footprint: Footprint | None = None
    compute: Compute | None = None
    parameters: Parameters | None = None
    latency: Latency | None = None
    memory: Memory | None = None


class Environment(Part):
    """Where it was measured."""

    versions: dict[str, str]
    machine: dict[str, OptionValue]
    revision: str | None


class Record(Part):
    """The result of one cell: written once, never changed. `reason` says why a status is not `ok`."""

    format: Literal[1] = FORMAT
    key: Annotated[str, Field(pattern=r"^[0-9a-f]{20}$")]
    spec: dict[str, Any]
    attempt: Annotated[int, Field(ge=1)] = 1
    status: Status
    reason: str = ""
    started: str
    seconds: FiniteFloat
    measurements: Measurements = Measurements()
    environment: Environment | None = None
    warnings: list[str] = []

    @model_validator(mode="after")
    def _key_is_the_hash_of_the_spec(self) -> Record:
        try:
            key = self.cell.key
        except (KeyError, TypeError, AttributeError, UserError) as error:
            raise ValueError(f"the spec is damaged ({error})") from error
        if self.cell.canonical() != self.spec or key != self.key:
            raise ValueError("the key is not the hash of the spec: one of them was edited")
        return self

    @property
    def cell(self) -> CellSpec:
        """The cell that was measured."""
        return CellSpec.from_canonical(self.spec)
