"""All that is measured of a cell."""

from __future__ import annotations

from pydantic import ConfigDict, model_validator
from typing_extensions import Self

from actbench.records.parts.compute import Compute, Parameters
from actbench.records.parts.fit import Fit
from actbench.records.parts.footprint import Footprint
from actbench.records.parts.integer import Integer
from actbench.records.parts.latency import Latency
from actbench.records.parts.memory import Memory, PredictedMemory
from actbench.records.parts.network import Network
from actbench.records.parts.part import Part
from actbench.records.parts.quality import Quality
from actbench.records.parts.training import Recovery, Training


class Measurements(Part):
    """All that was measured, filled in part by part while a cell runs. A part is missing where the cell ended before
    it."""

    model_config = ConfigDict(extra="forbid", frozen=False)

    network: Network | None = None
    fit: Fit | None = None
    recovery: Recovery | None = None
    training: Training | None = None
    quality: Quality | None = None
    footprint: Footprint | None = None
    compute: Compute | None = None
    parameters: Parameters | None = None
    integer: Integer | None = None
    latency: Latency | None = None
    memory: Memory | None = None
    predicted_memory: PredictedMemory | None = None

    @model_validator(mode="after")
    def _bits_are_of_the_images(self) -> Self:
        if self.quality is not None and self.footprint is not None:
            for spread in self.footprint.spreads:
                spread.check_images(self.quality.images)
        return self

    @property
    def bits_per_value(self) -> float | None:
        """Bits stored for each original value: of the maps on the inference track, of saved inputs in training."""
        if self.training is not None:
            return self.training.bits_per_value
        return self.footprint.bits_per_value if self.footprint is not None else None
