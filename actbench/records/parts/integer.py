"""Integer: which convolutions of the deployed form ran in integers."""

from __future__ import annotations

from pydantic import model_validator
from typing_extensions import Self

from actbench.records.column import Column
from actbench.records.parts.implied import require
from actbench.records.parts.part import Part


class Integer(Part):
    """`engine`: the kernels, empty where the processor has none. `layers`: the convolutions that ran on them. `others`:
    why each of the others did not."""

    engine: str
    layers: list[str]
    others: dict[str, str]

    @model_validator(mode="after")
    def _kernels_are_there(self) -> Self:
        require(bool(self.engine) or not self.layers, "layers ran in integers without an engine")
        return self


COLUMNS = (
    Column[Integer](
        "integer_layers",
        "int8 layers",
        "convolutions of the deployed form that ran in integers",
        lambda part: len(part.layers),
        repeats=None,
    ),
)
