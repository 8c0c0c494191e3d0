"""What every part of a record is made of."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, FiniteFloat, ValidationError

Interval = tuple[FiniteFloat, FiniteFloat]
OptionValue = bool | int | FiniteFloat | str


class Part(BaseModel):
    """A part of a record: unknown fields are errors, and nothing changes once it is made."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def first_error(error: ValidationError) -> str:
    """The first field that is not as it has to be, and why, in one line."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"])) or "the whole"
    return " ".join(f"{where}: {first['msg']}".split())
