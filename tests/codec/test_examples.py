"""The examples in the docstrings of actbench.codec give what they say."""

import doctest
from importlib import import_module
from pkgutil import walk_packages
from types import SimpleNamespace

import pytest
import torch

from actbench import budget, codec

MODULES = [part.name for part in walk_packages(codec.__path__, "actbench.codec.")]
NAMES = {
    **vars(codec),
    "Bits": budget.Bits,
    "Ceiling": budget.Ceiling,
    "SimpleNamespace": SimpleNamespace,
    "torch": torch,
}


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of(name: str) -> None:
    failed, _ = doctest.testmod(import_module(name), extraglobs=NAMES)
    assert failed == 0


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    examples = {test.name for name in MODULES for test in finder.find(import_module(name)) if test.examples}
    assert {example.removeprefix("actbench.codec.") for example in examples} == {
        "block_codes.PowerOfTwo",
        "element_formats.FloatFormat",
        "layouts.as_map",
        "learned_widths.InterpolatedQuantizer",
        "method.plan_each_map",
        "packed_payload.PackedPayload",
        "payload.Payload",
        "plain.PlainCodec.calibrated",
        "quantizers.UniformQuantizer",
    }
