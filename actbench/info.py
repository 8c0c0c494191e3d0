"""What a plugin registers: plain data, cheap to import, with the class behind a lazy `"package.module:Class"`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal, get_args

from actbench.errors import UserError
from actbench.fields import (
    NAME,
    check_flag,
    check_list,
    check_name,
    check_number,
    check_target,
    check_text,
    check_value,
    check_word,
)

OptionValue = bool | int | float | str
Track = Literal["inference", "training"]
Guarantee = Literal["static", "data-dependent"]
Role = Literal["method", "baseline", "reference"]
Better = Literal["more", "less"]
"""Which direction of a measurement is the better one."""

__all__ = [
    "NAME",
    "Better",
    "ExecutorInfo",
    "Guarantee",
    "MethodInfo",
    "Option",
    "OptionValue",
    "Role",
    "Track",
    "WorkloadInfo",
    "load_target",
]


@dataclass(frozen=True)
class Option:
    """One setting of a method: its default also gives its type."""

    name: str
    default: OptionValue
    help: str
    choices: tuple[OptionValue, ...] = ()

    def __post_init__(self) -> None:
        check_text("name of an option", self.name)
        check_text(f"help of option {self.name}", self.help)
        check_value(f"default of option {self.name}", self.default)
        check_list(f"choices of option {self.name}", self.choices, object)
        for choice in self.choices:
            check_value(f"choice of option {self.name}", choice)

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
    (`data-dependent`). `role` tells the baselines of a track's tables from the methods: a `reference` has no ceiling, a
    `baseline` has; both are run beside whatever the user asks for. A method is `learnable` where gradients flow through
    its codecs, so that it can take part in the open division; `recipe` says in a line how its authors train it, where
    `--recipe paper` can do so.
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
        _check_registration(self.name, self.target, self.title, self.version, self.paper, self.recipe)
        check_list("tracks", self.tracks, str)
        for track in self.tracks:
            check_word("track", track, get_args(Track))
        check_word("guarantee", self.guarantee, get_args(Guarantee))
        check_word("role", self.role, get_args(Role))
        check_flag("learnable", self.learnable)
        check_list("options", self.options, Option)

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
    anything is loaded. `reference_point`: the quality, in the metric's unit, of an answer that is worth nothing, from
    which hypervolumes count; of a classifier the chance level, 100 % / classes. None: there is no such point. `better`:
    whether more of the metric is better, or less, as of an error."""

    name: str
    title: str
    target: str
    identify: str
    metric: str
    unit: str = ""
    requires: tuple[str, ...] = field(default=())
    reference_point: float | None = None
    better: Better = "more"

    def __post_init__(self) -> None:
        _check_registration(self.name, self.target, self.title, self.metric, self.unit)
        check_word("better", self.better, get_args(Better))
        check_target(self.identify)
        check_list("requires", self.requires, str)
        for need in self.requires:
            check_text("requires", need)
        if self.reference_point is not None:
            check_number("reference_point", self.reference_point)


@dataclass(frozen=True)
class ExecutorInfo:
    """A way to carry out cells: `target` names a class with the interface of `actbench.harness.executors`."""

    name: str
    title: str
    target: str

    def __post_init__(self) -> None:
        _check_registration(self.name, self.target, self.title)


def load_target(target: str) -> Any:
    """Imports what `"package.module:Name"` points at."""
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)


def _check_registration(name: str, target: str, *texts: str) -> None:
    check_name(name)
    check_target(target)
    for text in texts:
        check_text(f"text of {name}", text)
