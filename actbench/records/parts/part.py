"""What every part of a record is made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, ValidationError


def _rising(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[0] > ends[1]:
        raise ValueError(f"its ends fall from {ends[0]} to {ends[1]}")
    return ends


Interval = Annotated[tuple[FiniteFloat, FiniteFloat], AfterValidator(_rising)]

_MOST = 1 << 63
OptionValue = bool | Annotated[int, Field(ge=-_MOST, lt=_MOST)] | FiniteFloat | str
Count = Annotated[int, Field(ge=0, lt=_MOST)]
"""A whole number that is not negative. Bounded: arithmetic with doubles must not overflow."""
PositiveCount = Annotated[int, Field(gt=0, lt=_MOST)]
"""A whole number above zero."""
NonNegative = Annotated[FiniteFloat, Field(ge=0)]
"""A number that is not negative."""
Positive = Annotated[FiniteFloat, Field(gt=0)]
"""A number above zero: a time, or a ratio."""


class Part(BaseModel):
    """A part of a record: unknown fields are errors, and nothing changes once it is made."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def first_error(error: ValidationError) -> str:
    """The first field that is not as it has to be, and why, in one line."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"])) or "the whole"
    return " ".join(f"{where}: {first['msg'].removeprefix('Value error, ')}".split())
