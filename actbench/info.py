"""What a plugin registers: plain data, cheap to import, with the class behind a lazy `"package.module:Class"`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal

from actbench.errors import UserError

OptionValue = bool | int | float | str
Track = Literal["inference", "training"]
Guarantee = Literal["static", "data-dependent"]
Role = Literal["method", "baseline", "reference"]

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
"""What a method, a workload or an executor may be called."""

_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


@dataclass(frozen=True)
class Option:
    """One setting of a method: its default also gives its type."""

    name: str
    default: OptionValue
    help: str
    choices: tuple[OptionValue, ...] = ()

    def parse(self, text: str) -> OptionValue:
        """The value that `text` stands for. Raises UserError where it has the wrong type or is no choice."""
        return self.check(self._convert(text))

    def check(self, value: OptionValue) -> OptionValue:
        """The value itself. Raises UserError where it has the wrong type or is no choice."""
        whole = isinstance(value, int) and not isinstance(value, bool)
        if type(value) is not type(self.default) and not (whole and isinstance(self.default, float)):
            raise UserError(f"option {self.name}={value!r}: give a value of type {type(self.default).__name__}")
        if self.choices and value not in self.choices:
            raise UserError(f"option {self.name}={str(value)!r}: choose from {', '.join(map(str, self.choices))}")
        return type(self.default)(value)

    def _convert(self, text: str) -> OptionValue:
        if isinstance(self.default, bool):
            words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
            if text.lower() not in words:
                raise UserError(f"option {self.name}={text!r}: give true or false")
            return words[text.lower()]
        try:
            value = type(self.default)(text)
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError
            return value
        except ValueError:
            raise UserError(
                f"option {self.name}={text!r}: give a value of type {type(self.default).__name__}"
            ) from None


@dataclass(frozen=True)
class MethodInfo:
    """A method as it is listed, before its class is imported.

    `guarantee` says whether the bits of an image are known before it is seen (`static`) or depend on it
    (`data-dependent`). `role` tells the baselines of a track's tables from the methods: a `reference` loses
    nothing and has no ceiling, a `baseline` is run beside whatever the user asks for. A method is `learnable` where
    gradients flow through its codecs, so that it can take part in the open division; `recipe` says in a line how its
    authors train it, where `--recipe paper` can do so.
    """

    name: str
    title: str
    target: str
    version: str
    paper: str = ""
    tracks: tuple[Track, ...] = ("inference",)
    guarantee: Guarantee = "static"
    learnable: bool = False
    recipe: str = ""
    role: Role = "method"
    options: tuple[Option, ...] = ()

    def __post_init__(self) -> None:
        _check_registration(self.name, self.target)

    def resolve(self, given: Mapping[str, OptionValue]) -> dict[str, OptionValue]:
        """All options, the defaults filled in. Raises UserError for an unknown one, or a value that is none of its."""
        known = {option.name: option for option in self.options}
        unknown = sorted(set(given) - set(known))
        if unknown:
            names = ", ".join(known) or "none"
            raise UserError(f"method {self.name} has no option {unknown[0]!r}; its options: {names}")
        return {name: option.check(given.get(name, option.default)) for name, option in known.items()}


@dataclass(frozen=True)
class WorkloadInfo:
    """A workload as it is listed. `identify` names a light function `(data, weights) -> {what: digest}`, of the paths
    that the user gave or None, which checks that weights and data are there, without torch: a run is planned before
    anything is loaded."""

    name: str
    title: str
    target: str
    identify: str
    metric: str
    unit: str = ""
    requires: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        _check_registration(self.name, self.target)


@dataclass(frozen=True)
class ExecutorInfo:
    """A way to carry out cells: `target` names a class with the interface of `actbench.harness.executors`."""

    name: str
    title: str
    target: str

    def __post_init__(self) -> None:
        _check_registration(self.name, self.target)


def load_target(target: str) -> Any:
    """Imports what `"package.module:Name"` points at."""
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)


def _check_registration(name: str, target: str) -> None:
    if not NAME.fullmatch(name):
        raise ValueError(f"name {name!r}: use lower-case letters, digits and hyphens, 64 at most")
    if not _TARGET.fullmatch(target):
        raise ValueError(f'target {target!r}: write "package.module:Class"')
