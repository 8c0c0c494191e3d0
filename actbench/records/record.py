"""The form of a record. What is read from disk is checked against it; JSON has no NaN, and neither has a record."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, ValidationError, model_validator
from typing_extensions import Self, override

from actbench.errors import UserError
from actbench.records.cell_form import check_form
from actbench.records.judgement import judge
from actbench.records.measurements import Measurements
from actbench.records.parts.part import NonNegative, OptionValue, Part, first_error
from actbench.spec import CellSpec

FORMAT: Literal[2] = 2
"""The version of this form; `migrations` reads the earlier ones."""

Status = Literal["ok", "over_ceiling", "unsupported", "oom", "timeout", "crash", "invalid"]
"""How a cell ended."""


class Plugin(Part):
    """The plugin that brought a method. `source`: SHA-256 of its Python files."""

    package: str
    version: str
    source: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

    @override
    def __str__(self) -> str:
        return f"{self.package} {self.version}, source {self.source}"


class Load(Part):
    """The machine's load while a cell was measured: processes that ran or waited over a minute, at the start and at the
    end, and the share of the processors' time that others used. None where the system does not say."""

    start: NonNegative | None
    end: NonNegative | None
    others: Annotated[float, Field(ge=0, le=1)] | None


BUSY = 0.2
"""The share of the machine that others may use before times are those of a busy machine, and do not compare."""


class Environment(Part):
    """Where a cell was measured, with which plugin, and beside what; None in records of before it was kept."""

    versions: dict[str, str]
    machine: dict[str, OptionValue]
    revision: str | None
    plugin: Plugin | None = None
    load: Load | None = None

    @property
    def threads(self) -> int | None:
        """Threads that torch had; None where that is not known."""
        threads = self.machine.get("threads")
        return threads if isinstance(threads, int) and threads > 0 else None


class Record(Part):
    """The result of one cell: written once, never changed. `reason` says why a status is not `ok`."""

    format: Literal[2] = FORMAT
    key: Annotated[str, Field(pattern=r"^[0-9a-f]{20}$")]
    spec: dict[str, Any]
    attempt: PositiveInt = 1
    status: Status
    reason: str = ""
    started: str
    seconds: NonNegative
    measurements: Measurements = Field(default_factory=Measurements)
    environment: Environment | None = None
    warnings: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _key_is_the_hash_of_the_spec(self) -> Self:
        try:
            check_form(self.cell)
            key = self.cell.key
        except (KeyError, TypeError, AttributeError, OverflowError, UserError, ValidationError) as error:
            said = first_error(error) if isinstance(error, ValidationError) else error
            raise ValueError(f"the spec is damaged ({said})") from error
        if self.cell.canonical() != self.spec or key != self.key:
            raise ValueError("the key is not the hash of the spec: one of them was edited")
        return self

    @model_validator(mode="after")
    def _is_what_the_cell_implies(self) -> Self:
        judge(self.cell, self.status, self.measurements)
        return self

    @property
    def file_name(self) -> str:
        """What the record's file is called."""
        return f"{self.key}-{self.attempt}.json"

    @property
    def busy(self) -> bool:
        """Whether others used so much of the machine that times do not compare."""
        load = self.environment.load if self.environment else None
        return load is not None and load.others is not None and load.others > BUSY

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
