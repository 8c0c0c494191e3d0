"""A suite: what to run side by side, in a TOML file. `[[variants]]` are methods, each a `method` and its `options`;
`[workload]` describes a network and images of the user's own, as the command line does."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from actbench.errors import UserError
from actbench.harness.schedule import Variant
from actbench.info import OptionValue
from actbench.records.store import write_over
from actbench.registry import Registry
from actbench.workloads.own.description import IGNORED, Description
from actbench.workloads.own.tasks import Interpolation, Task

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class _Variant(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    method: str
    options: dict[str, OptionValue] = {}


class _Workload(BaseModel):
    """The fields of a description, which checks what they say."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: str
    task: Task
    data: str = ""
    weights: str = ""
    metric: str = ""
    input: Annotated[list[int], Field(min_length=3, max_length=3)] | None = None
    interpolation: Interpolation = "bilinear"
    mean: list[float] | None = None
    std: list[float] | None = None
    class_names: list[str] = []
    output: str = ""
    ignore: int = IGNORED
    scale: float = 1.0
    name: str = ""


class _Suite(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    variants: list[_Variant] = []
    workload: _Workload | None = None


@dataclass(frozen=True)
class Suite:
    """What a file says. `own`: the network and images of the user's own; None where it describes none."""

    variants: tuple[Variant, ...] = ()
    own: Description | None = None


def write_workload(folder: Path, own: Description) -> None:
    """Keeps a description in a folder, as a suite of its name, with its paths as they are from there. Raises UserError
    where that cannot be written."""
    said = own.in_folder(Path.cwd()).with_paths(lambda path: os.path.relpath(path, folder)).as_said()
    values = ((field.name, said[field.name]) for field in fields(own) if said[field.name] != field.default)
    lines = ["[workload]", *(f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in values)]
    write_over(folder / f"{own.name}.toml", "\n".join(lines) + "\n")


def read_suite(path: Path, registry: Registry, data: Path | None = None, weights: Path | None = None) -> Suite:
    """What a file says; its paths are from the folder that it is in. `data` and `weights` take the place of those that
    it says. Raises UserError where it is no suite, or names what no method has."""
    try:
        suite = _Suite.model_validate(tomllib.loads(path.read_text("utf-8")))
    except OSError as error:
        raise UserError(f"--suite {path}: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"--suite {path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"--suite {path}: not a TOML file: {error}") from None
    for variant in suite.variants:
        registry.method(variant.method).resolve(variant.options)
    if not suite.variants and suite.workload is None:
        raise UserError(f"--suite {path}: it has no variants and no workload")
    own = None if suite.workload is None else Description.from_json(suite.workload.model_dump())
    variants = tuple(Variant(variant.method, variant.options) for variant in suite.variants)
    return Suite(variants, None if own is None else _with(own.in_folder(path.parent), data, weights))


def _with(own: Description, data: Path | None, weights: Path | None) -> Description:
    return replace(own, data=str(data or own.data), weights=str(weights or own.weights))
