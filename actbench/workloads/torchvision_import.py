"""Imports torchvision also where its compiled operators do not fit the installed torch.

Beside a CPU-only torch from another index, `import torchvision` fails: "operator torchvision::nms does not exist".
Declaring the schemas of the two missing operators lets models, datasets and transforms work; calling the operators
themselves would still fail, and nothing here does.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from types import ModuleType

import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


@cache
def torchvision(module: str = "torchvision") -> ModuleType:
    """Imports `torchvision`, or one of its modules such as `torchvision.models`."""
    try:
        return import_module(module)
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
    _declare_operators()
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    return import_module(module)


@cache
def _declare_operators() -> torch.library.Library:
    """Declares the missing operators. The cache keeps the library alive, as its definitions go with it."""
    library = torch.library.Library("torchvision", "DEF")
    for schema in _SCHEMAS:
        library.define(schema)
    return library
