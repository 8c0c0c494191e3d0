"""Writes docs/reference.md from the code: `python docs/write_reference.py`. A test holds the page to it."""

from __future__ import annotations

import inspect
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from actbench import bit_strings, budget, hookspecs, info, method, payload, rate_control, statistics
from actbench.harness import executors
from actbench.workloads import base

PAGE = Path(__file__).with_name("reference.md")

SECTIONS: dict[str, tuple[str, list[Any]]] = {
    "What a plugin registers": (
        "Light: importing these loads no torch.",
        [info.MethodInfo, info.Option, info.WorkloadInfo, info.ExecutorInfo],
    ),
    "What a method is": (
        "In `actbench.method`, which loads torch.",
        [method.Method, method.Codec, method.Folded, method.Plan, method.Network],
    ),
    "What a method gets": (
        "Feature maps and budgets are plain data.",
        [
            method.FeatureMap,
            budget.Allowance,
            budget.Budget,
            budget.Ceiling,
            budget.Bits,
            statistics.MapStatistics,
            statistics.SideStatistics,
        ],
    ),
    "What is stored": (
        "In `actbench.payload`.",
        [payload.Payload, payload.Field, payload.unsigned, payload.signed, payload.floating],
    ),
    "Codes whose bits depend on the image": (
        "In `actbench.rate_control`: settings of a coder, of which each image takes the first that fits, so that none "
        "goes over the ceiling.",
        [
            rate_control.LadderMethod,
            rate_control.Rung,
            rate_control.Ladder,
            rate_control.Pooled,
            rate_control.stream_allowance,
        ],
    ),
    "Strings of bits": (
        "In `actbench.bit_strings`: for a batch of images at once, without loops over values.",
        [
            bit_strings.Stream,
            bit_strings.concatenate,
            bit_strings.join,
            bit_strings.symbols,
            bit_strings.to_bits,
            bit_strings.from_bits,
            bit_strings.code_type,
            bit_strings.true_positions,
            bit_strings.segment_sums,
            bit_strings.zero_value_lengths,
            bit_strings.zero_value_encode,
            bit_strings.zero_value_decode,
        ],
    ),
    "Workloads and executors": (
        "In `actbench.workloads.base` and `actbench.harness.executors`.",
        [base.Workload, base.ImageSet, base.Metric, executors.Executor, executors.Listener, executors.CellResult],
    ),
}


def reference() -> str:
    """The page."""
    parts = ["# Reference", "Written from the code by `python docs/write_reference.py`.", "## Hooks"]
    parts.append(
        "A plugin is a module, or an object, with any of these, each marked `@actbench.hookimpl`. The plugin API has "
        f"version {hookspecs.API_VERSION}: a plugin says so with `actbench_api = {hookspecs.API_VERSION}`."
    )
    parts += [_function(function) for function in hooks()]
    for title, (text, things) in SECTIONS.items():
        parts += [f"## {title}", text]
        parts += [_class(thing) if inspect.isclass(thing) else _function(thing) for thing in things]
    return "\n\n".join(parts) + "\n"


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
        if inspect.isfunction(plain):
            lines.append(f"- `{signature(plain)}`: {_text(plain)}")
        else:
            lines.append(f"- `{name}`: {_text(plain)}")
    return "\n\n".join([*parts, "\n".join(lines)] if lines else parts)


def _text(thing: Any) -> str:
    text = inspect.getdoc(thing) or ""
    return (
        "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))
        if inspect.isclass(thing)
        else " ".join(text.split())
    )


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
