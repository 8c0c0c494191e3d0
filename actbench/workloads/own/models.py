"""Models of the user's own, and of libraries, with their weights, and with one tensor as their output."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from actbench.errors import UserError
from actbench.info import load_target
from actbench.workloads.files import fill_model, read_weights
from actbench.workloads.own.code import Code, said_by
from actbench.workloads.own.description import LIBRARIES, RANDOM
from actbench.workloads.torchvision_import import torchvision

Shape = tuple[int, ...]
"""Of an input of one image."""

_SEED = 0
"""Of weights that are not read from a file."""

_OUT = "out"
"""The output of torchvision's networks for segmentation."""


def load_model(model: str, weights: str = "", classes: int | None = None) -> nn.Module:
    """Builds a model in evaluation mode, with a checkpoint's weights, `random` ones, or those that it comes with.
    `classes`: those of a library's model whose weights are given. Raises UserError where it cannot be had."""
    published = not weights
    built = build_model(model, None if published else classes, published=published)
    if weights not in ("", RANDOM):
        path = Path(weights)
        read = read_weights(path)
        try:
            fill_model(built, read, path)
        except UserError as error:
            if classes is None and model.partition(":")[0] in LIBRARIES:
                raise UserError(f"{error} --class-names gives the network a head for other classes") from error
            raise
    return built.eval()


def build_model(model: str, classes: int | None = None, *, published: bool = False) -> nn.Module:
    """Builds `FILE.py:NAME`, `MODULE:NAME`, `torchvision:NAME` or `timm:NAME`. `published`: with a library's own
    weights. What is random is the same each time. Raises UserError where there is no such model, or it cannot be
    built."""
    source, separator, name = model.partition(":")
    if not separator:
        raise UserError(f"--model {model!r}: write FILE.py:NAME, MODULE:NAME, torchvision:NAME or timm:NAME")
    torchvision()  # before the user's code imports it, whose operators may be of another build
    head = {} if classes is None else {"num_classes": classes}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        if source not in LIBRARIES:
            return _own(model)
        build = _of_torchvision if source == "torchvision" else _of_timm
        try:
            return build(name, head, published)
        except UserError:
            raise
        except OSError as error:
            raise UserError(
                f"the weights of {model} could not be downloaded ({_brief(error)}): "
                "give --weights FILE, or --weights random"
            ) from error
        except Exception as error:  # builders raise whatever they please
            raise UserError(f"{model} cannot be built: {_brief(error)}") from error


def of_one_output(model: nn.Module, key: str, *inputs: Tensor) -> tuple[nn.Module, Tensor]:
    """A model that gives one tensor, by itself or because one of several is picked, and what it gives for an image
    (1, C, H, W), and what else it takes. Raises UserError where it does not take them, and where there is no such
    output."""
    outputs = _tried(model, *inputs)
    if key or not isinstance(outputs, Tensor):
        model = with_one_output(model, key)
        outputs = _tried(model, *inputs)
    if not isinstance(outputs, Tensor):
        raise UserError(f"the model gives {type(outputs).__name__}, not a tensor: name one with --output")
    return model, outputs


def with_one_output(model: nn.Module, key: str) -> nn.Module:
    """Has a model give one tensor where it gives several: that of a key, or of a number. The model and the names of its
    parts are the same, so that its maps and its weights are called as before."""
    kind = type(model)

    class Selecting(kind):  # type: ignore[misc, valid-type]
        @functools.wraps(kind.forward)
        def forward(self, *arguments: Any, **named: Any) -> Any:
            return pick(kind.forward(self, *arguments, **named), key)

    Selecting.__name__ = Selecting.__qualname__ = kind.__name__
    model.__class__ = Selecting
    return model


def in_order(model: nn.Module, shapes: Mapping[str, Shape]) -> list[Shape]:
    """The shapes of a model's inputs, by the names of its parameters, in the order in which it takes them. Raises
    UserError where it has other parameters, or others before them."""
    names = list(inspect.signature(model.forward).parameters)
    if set(shapes) != set(names[: len(shapes)]):
        raise UserError(f"--input names {', '.join(shapes)}: the model takes {', '.join(names)}, in this order")
    return [shapes[name] for name in names[: len(shapes)]]


def pick(outputs: Any, key: str) -> Any:
    """One of several outputs: that of a key or a number; without one the only one, or `out`, or the first of a
    sequence. Raises UserError where there is none."""
    if isinstance(outputs, Mapping):
        chosen = key or (next(iter(outputs)) if len(outputs) == 1 else _OUT)
        if chosen not in outputs:
            raise UserError(f"--output: the network's outputs are {', '.join(map(str, outputs))}; name one")
        return outputs[chosen]
    if isinstance(outputs, Sequence):
        if key and not (key.isdecimal() and int(key) < len(outputs)):
            raise UserError(f"--output {key}: the network has {len(outputs)} outputs; give a number from 0 on")
        return outputs[int(key or 0)]
    if isinstance(outputs, Tensor) and key:
        raise UserError(f"--output {key}: the network has one output; leave it out")
    return outputs


def _own(model: str) -> nn.Module:
    code = Code.parse(model)
    try:
        given = load_target(model) if code is None else code.load()
        built = given if isinstance(given, nn.Module) else given()
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # it is the user's code
        raise UserError(f"--model {code or model}: {said_by(error)}; give a function without arguments") from error
    if not isinstance(built, nn.Module):
        raise UserError(f"--model {code or model} gives {type(built).__name__}, not a torch.nn.Module")
    return built


def _of_torchvision(name: str, head: Mapping[str, int], published: bool) -> nn.Module:
    models = torchvision("torchvision.models")
    if name not in models.list_models():
        raise UserError(f"torchvision has no model {name!r}: see torchvision.models.list_models()")
    # Networks on a backbone have weights of it downloaded unless they are told not to.
    parameters = inspect.signature(models.get_model_builder(name)).parameters
    alone = {"weights_backbone": None} if "weights_backbone" in parameters else {}
    model: nn.Module = models.get_model(name, weights="DEFAULT" if published else None, **alone, **head)
    return model


def _of_timm(name: str, head: Mapping[str, int], published: bool) -> nn.Module:
    try:
        import timm
    except ImportError as error:
        raise UserError("--model timm:… needs the package timm: `pip install timm`") from error
    if not timm.is_model(name.partition(".")[0]):
        raise UserError(f"timm has no model {name!r}: see timm.list_models()")
    model: nn.Module = timm.create_model(name, pretrained=published, **head)
    return model


def _tried(model: nn.Module, *inputs: Tensor) -> object:
    try:
        with torch.no_grad():
            outputs: object = model(*inputs)
        return outputs
    except UserError:
        raise
    except Exception as error:  # it is the user's code
        size = " and ".join("×".join(map(str, each.shape[1:])) for each in inputs)
        raise UserError(f"the model does not accept an image of {size}: {_brief(error)}") from error


def _brief(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
