"""Models by name: of torchvision and timm, of a file or a module of the user's own."""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from torch import nn

from actbench.errors import UserError
from actbench.info import load_target
from actbench.workloads.torchvision_import import torchvision


def build_model(source: str) -> nn.Module:
    """Builds `torchvision:NAME`, `timm:NAME`, `FILE.py:FUNCTION` or `MODULE:FUNCTION` with random weights. Raises
    UserError where there is no such model, and where its code fails."""
    owner, separator, name = source.partition(":")
    if not separator or not name:
        raise UserError(f"model {source!r}: write torchvision:NAME, timm:NAME, FILE.py:FUNCTION or MODULE:FUNCTION")
    torchvision()  # before the user's code imports it, which would fail beside another build of torch
    try:
        model = _builder(owner, name)()
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # it is the user's code, or a library's
        said = " ".join(str(error).split())[:300]
        raise UserError(
            f"model {source}: {type(error).__name__}: {said}; give a function that takes no argument"
        ) from error
    if not isinstance(model, nn.Module):
        raise UserError(f"model {source!r} gives {type(model).__name__}, not a torch.nn.Module")
    return model


def with_one_output(model: nn.Module, key: str) -> nn.Module:
    """Has a model give one of its outputs, that of a key or a number; the names of its parts stay the same."""
    kind: Any = type(model)

    class Selecting(kind):  # type: ignore[misc]
        @functools.wraps(kind.forward)
        def forward(self, *arguments: Any, **named: Any) -> Any:
            return _pick(kind.forward(self, *arguments, **named), key)

    Selecting.__name__ = Selecting.__qualname__ = kind.__name__
    model.__class__ = Selecting
    return model


def _pick(outputs: Any, key: str) -> Any:
    if isinstance(outputs, Mapping) and key in outputs:
        return outputs[key]
    if isinstance(outputs, Sequence) and key.isdecimal() and int(key) < len(outputs):
        return outputs[int(key)]
    if isinstance(outputs, Mapping):
        raise UserError(f"--output {key}: the model's outputs are {', '.join(map(str, outputs))}")
    if isinstance(outputs, Sequence):
        raise UserError(f"--output {key}: the model has {len(outputs)} outputs; give a number from 0 on")
    raise UserError(f"--output {key}: the model has one output; leave it out")


def _builder(owner: str, name: str) -> Callable[[], Any]:
    if owner == "torchvision":
        return _of_torchvision(name)
    if owner == "timm":
        return _of_timm(name)
    if owner.endswith(".py"):
        return _of_file(Path(owner), name)
    return lambda: load_target(f"{owner}:{name}")()


def _of_torchvision(name: str) -> Callable[[], Any]:
    models = torchvision("torchvision.models")
    if name not in models.list_models():
        raise UserError(f"torchvision has no model {name!r}: see torchvision.models.list_models()")
    # Networks on a backbone have its weights downloaded unless they are told not to.
    parameters = inspect.signature(models.get_model_builder(name)).parameters
    alone = {"weights_backbone": None} if "weights_backbone" in parameters else {}

    def build() -> Any:
        try:  # some spend minutes on the weights that they begin with
            return models.get_model(name, weights=None, init_weights=False, **alone)
        except TypeError:
            return models.get_model(name, weights=None, **alone)

    return build


def _of_timm(name: str) -> Callable[[], Any]:
    try:
        timm: Any = importlib.import_module("timm")
    except ImportError as error:
        raise UserError(f"model timm:{name} needs the package timm: pip install timm") from error
    if not timm.is_model(name):
        raise UserError(f"timm has no model {name!r}: see timm.list_models()")
    return functools.partial(timm.create_model, name, pretrained=False)


def _of_file(path: Path, name: str) -> Callable[[], Any]:
    if not path.is_file():
        raise UserError(f"model {path}:{name}: there is no file {path}")
    spec = spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.path.insert(0, str(path.parent.resolve()))  # what stands beside it may be imported by it
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    if not hasattr(module, name):
        raise UserError(f"model {path}:{name}: the file defines no {name}")
    found = getattr(module, name)
    return (lambda: found) if isinstance(found, nn.Module) else found
