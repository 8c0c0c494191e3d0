"""For each check of the conformance kit a method that breaks it, `breaks-<check>`; and `sound`, which breaks none."""

from collections.abc import Callable, Mapping
from typing import Any

from actbench import MethodInfo, hookimpl

NAMES = (
    "plan",
    "shapes",
    "empty-batch",
    "layouts",
    "half-precision",
    "finite-output",
    "determinism",
    "packing",
    "ceilings",
    "error-and-budget",
    "payload-alone",
    "fresh-process",
    "no-state",
    "gradients",
    "folding",
    "impossible-budget",
    "too-good",
    "gpu",
    "weight-gradients",
    "description",
    "rows",
)
MORE: Mapping[str, dict[str, Any]] = {
    "weight-gradients": {"tracks": ("inference", "training")},
    "gradients": {"learnable": True},
}
CLASSES = {"plan": "UnknownMap"}


@hookimpl
def register_methods(register: Callable[[MethodInfo], None]) -> None:
    for name in ("sound", *(f"breaks-{name}" for name in NAMES)):
        rule = name.removeprefix("breaks-")
        kind = CLASSES.get(rule, "".join(word.capitalize() for word in rule.split("-")))
        register(MethodInfo(name, name, f"tests.testing.broken_codecs:{kind}", "1", **MORE.get(rule, {})))
