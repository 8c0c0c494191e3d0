"""A suite: methods with options, to be run side by side, in a TOML file of `[[variants]]`, each a `method` and its
`options`."""

from __future__ import annotations

import sys
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from actbench.errors import UserError
from actbench.harness.schedule import Variant
from actbench.info import OptionValue
from actbench.registry import Registry

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class _Variant(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    method: str
    options: dict[str, OptionValue] = {}


class _Suite(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    variants: list[_Variant] = Field(min_length=1)


def read_suite(path: Path, registry: Registry) -> tuple[Variant, ...]:
    """The variants of a file. Raises UserError where it is not one, or names what no method has."""
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
    return tuple(Variant(variant.method, variant.options) for variant in suite.variants)
