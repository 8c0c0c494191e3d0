"""Writes docs/reference.md from the code: `python docs/write_reference.py`. A test holds the page to it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from textwrap import dedent, indent
from types import ModuleType
from typing import Any

from actbench import codec, hookspecs

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PAGE = Path(__file__).with_name("reference.md")
PROJECT = Path(__file__).parents[1] / "pyproject.toml"

FROM_PYTHON = tuple(
    f"actbench.api.{room}" for room in ("compression", "compressed", "saving", "in_place", "calibration")
)
"""What `import actbench` offers for networks of one's own, where it is defined."""

OF_WORKLOADS_AND_EXECUTORS = (
    "actbench.workloads.base",
    "actbench.workloads.images",
    "actbench.workloads.files",
    "actbench.harness.executors",
)
"""What authors of workloads and of executors read beside what methods may import."""


def public_modules() -> list[ModuleType]:
    """The modules that plugins may import, by the contract for imports, those of packages one by one."""
    contracts = tomllib.loads(PROJECT.read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    (allowed,) = (contract["allowed_modules"] for contract in contracts if contract["type"] == "allowed")
    names = [name for name in allowed if name not in ("actbench", "actbench.hookspecs")]
    return [
        module
        for name in [*names, *FROM_PYTHON, *OF_WORKLOADS_AND_EXECUTORS]
        for module in _with_parts(import_module(name))
    ]


def _with_parts(module: ModuleType) -> Iterator[ModuleType]:
    """A module, and all that is in it where it is a package that is public as a whole."""
    yield module
    if module.__name__.startswith("actbench.codec"):
        for part in iter_modules(getattr(module, "__path__", ())):
            if not part.name.startswith("_"):
                yield from _with_parts(import_module(f"{module.__name__}.{part.name}"))


def reference() -> str:
    """The page."""
    parts = [
        "# Reference",
        "What is public: a plugin may import this and nothing else of actbench, and it changes only with the version "
        "of the plugin API. Written from the code by `python docs/write_reference.py`.",
        "## Hooks",
        "A plugin is a module, or an object, with any of these, each marked `@actbench.hookimpl`. The plugin API has "
        f"version {hookspecs.API_VERSION}: a plugin says so with `actbench_api = {hookspecs.API_VERSION}`.",
    ]
    parts += [_function(function) for function in hooks()]
    for module in public_modules():
        things = _things(module)
        if module is codec:
            names = ", ".join(f"`{name}`" for name in codec.__all__)
            parts += [f"## `{module.__name__}`", _text(module), f"`from actbench.codec import …`: {names}."]
        elif things:
            parts += [f"## `{module.__name__}`", _text(module)]
        parts += [_class(thing) if inspect.isclass(thing) else _function(thing) for thing in things]
    return "\n\n".join(parts) + "\n"


def _things(module: ModuleType) -> list[Any]:
    """Public classes and functions that are defined in a module, in their order."""
    return [
        thing
        for name, thing in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(thing) or inspect.isfunction(thing))
        and thing.__module__ == module.__name__
    ]


def hooks() -> list[Any]:
    """All hook specifications."""
    return [thing for thing in vars(hookspecs).values() if hasattr(thing, "actbench_spec")]


def signature(function: Any) -> str:
    """Without self, and without quotes around annotations."""
    found = inspect.signature(function)
    kept = [parameter for name, parameter in found.parameters.items() if name not in ("self", "cls")]
    return f"{function.__name__}{found.replace(parameters=kept)}".replace("'", "")


def _function(function: Any) -> str:
    return f"### `{signature(function)}`\n\n{_text(function)}"


def _class(kind: Any) -> str:
    parts = [f"### `{kind.__name__}`", _text(kind)]
    if is_dataclass(kind):
        lines = [f"- `{field.name}: {field.type}`" for field in fields(kind)]
        parts.append("\n".join(lines))
    lines = []
    for name, member in vars(kind).items():
        plain = member.__func__ if isinstance(member, classmethod) else member
        if name.startswith("_") or not (
            inspect.isfunction(plain) or hasattr(plain, "func") or isinstance(plain, property)
        ):
            continue
        title = signature(plain) if inspect.isfunction(plain) else name
        lines.append(indent(f"- `{title}`: {_text(plain)}", "    ").lstrip())
    return "\n\n".join([*parts, "\n".join(lines)] if lines else parts)


def _text(thing: Any) -> str:
    """A docstring as Markdown; its example, where it has one, as a block of code."""
    text, _, example = (inspect.getdoc(thing) or "").partition("\n\nExample:\n")
    paragraphs = text.split("\n\n") if inspect.isclass(thing) else [text]
    parts = [" ".join(paragraph.split()) for paragraph in paragraphs]
    return "\n\n".join([*parts, f"```python\n{dedent(example)}\n```"] if example else parts)


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
