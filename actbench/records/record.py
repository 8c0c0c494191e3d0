"""The form of a record. What is read from disk is checked against it; JSON has no NaN, and neither has a record."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat, model_validator
from typing_extensions import override

from actbench.errors import UserError
from actbench.records.measurements import Measurements
from actbench.records.parts.part import OptionValue, Part
from actbench.spec import CellSpec

FORMAT: Literal[2] = 2
"""The version of this form; `migrations` reads the earlier ones."""

Status = Literal["ok", "over_ceiling", "unsupported", "oom", "timeout", "crash", "invalid"]
"""How a cell ended."""


class Environment(Part):
    """Where a cell was measured."""

    versions: dict[str, str]
    machine: dict[str, OptionValue]
    revision: str | None


class Record(Part):
    """The result of one cell: written once, never changed. `reason` says why a status is not `ok`."""

    format: Literal[2] = FORMAT
    key: Annotated[str, Field(pattern=r"^[0-9a-f]{20}$")]
    spec: dict[str, Any]
    attempt: Annotated[int, Field(ge=1)] = 1
    status: Status
    reason: str = ""
    started: str
    seconds: FiniteFloat
    measurements: Measurements = Field(default_factory=Measurements)
    environment: Environment | None = None
    warnings: list[str] = Field(default_factory=list)

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
    def file_name(self) -> str:
        """What the record's file is called."""
        return f"{self.key}-{self.attempt}.json"

    @override
    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Record:
        """A copy that knows no cell yet: the update may be another one's."""
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop("cell", None)
        return copied

    @cached_property
    def cell(self) -> CellSpec:
        """The cell that was measured."""
        return CellSpec.from_canonical(self.spec)
