"""Fit: the help that a plan was given, and what it was chosen by."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, FiniteFloat, model_validator
from typing_extensions import Self

from actbench.records.column import Column
from actbench.records.parts.implied import require
from actbench.records.parts.part import Part, PositiveCount

ServiceName = Literal["clips", "sequence", "refit", "statistics"]


class Trial(Part):
    """What was tried, and the task's loss with it on the images that were held apart."""

    services: list[ServiceName]
    loss: FiniteFloat


class Fit(Part):
    """The services that were kept: those of the trial with the least loss. `fitted_on`, `chosen_on`: calibration images
    on which plans were made and fitted, and others, by which it was chosen."""

    kept: list[ServiceName]
    trials: Annotated[list[Trial], Field(min_length=1)]
    fitted_on: PositiveCount
    chosen_on: PositiveCount

    @model_validator(mode="after")
    def _is_the_best(self) -> Self:
        kept, least = self.trial(self.kept), min(trial.loss for trial in self.trials)
        require(kept is not None and kept.loss == least, f"kept {self.kept} is not the trial of least loss")
        return self

    def trial(self, services: list[ServiceName]) -> Trial | None:
        """The trial of some services; None where there was none."""
        return next((trial for trial in self.trials if trial.services == services), None)

    @property
    def title(self) -> str:
        """The services for people."""
        return " + ".join(self.kept) or "bare"


COLUMNS = (
    Column[Fit](
        "kept", "kept fit", "the help that was kept, of that which every method gets alike", lambda part: part.title
    ),
)
