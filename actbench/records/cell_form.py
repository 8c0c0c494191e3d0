"""The form of the cell in a record: what a record says of its cell is as untrusted as what it says of its results."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from typing import Annotated, Any, get_type_hints

from pydantic import Field, TypeAdapter

from actbench.info import Track
from actbench.records.parts.part import Count, OptionValue, Part, PositiveCount
from actbench.settings import TRACKS
from actbench.spec import CellSpec, Device

Text = Annotated[str, Field(strict=True)]


class _Workload(Part):
    name: Text
    digests: dict[Text, Text]
    limit: Annotated[PositiveCount, Field(strict=True)] | None
    own: dict[Text, Text | float | list[Text | float]] | None = None


class _Method(Part):
    name: Text
    version: Text
    options: dict[Text, OptionValue]


class _Form(Part):
    workload: _Workload
    method: _Method
    ceiling: Text
    bits: Text
    seed: Annotated[Count, Field(strict=True)]
    device: Device
    protocol: Annotated[PositiveCount, Field(strict=True)]
    calibration: Annotated[Count, Field(strict=True)] = 0


def check_form(cell: CellSpec) -> None:
    """Raises ValueError, naming the field, where a cell's fields are not of their types."""
    canonical = cell.canonical()
    _Form.model_validate({name: canonical[name] for name in _Form.model_fields if name in canonical})
    for part in fields(cell.settings):
        _adapter(cell.settings.track, part.name).validate_python(getattr(cell.settings, part.name), strict=True)


@cache
def _adapter(track: Track, name: str) -> TypeAdapter[Any]:
    return TypeAdapter(get_type_hints(TRACKS[track])[name])
