"""The arguments that describe a network and images of the user's own, for every verb that takes them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from actbench.cli.arguments import is_whole
from actbench.errors import UserError
from actbench.workloads.own.description import RANDOM, Description
from actbench.workloads.own.tasks import Interpolation, Task

if TYPE_CHECKING:
    from torch import nn

_PANEL = "Your own network and images"


def _option(name: str, explanation: str) -> Any:
    return typer.Option(name, help=explanation, rich_help_panel=_PANEL)


INPUTS = "Channels, height, width; of several inputs image:3,224,224;numbers:10, by their names."

ClassNames = Annotated[
    str | None, _option("--class-names", "In the order of the outputs, separated by commas; or a file, one a line.")
]
Output = Annotated[str | None, _option("--output", "Of a network with several: the key, or the number, of one.")]

_OPTIONS: dict[str, Any] = {
    "model": Annotated[str | None, _option("--model", "Your network: FILE.py:NAME, torchvision:NAME or timm:NAME.")],
    "task": Annotated[Task | None, _option("--task", "What it is for.")],
    "metric": Annotated[str | None, _option("--metric", "Of the task, torchmetrics:NAME or FILE.py:NAME.")],
    "input": Annotated[str | None, _option("--input", "Channels, height and width that images are scaled to.")],
    "interpolation": Annotated[Interpolation | None, _option("--interpolation", "Of scaled images; bilinear.")],
    "mean": Annotated[str | None, _option("--mean", "By channel, of pixels from 0 to 1; with --std.")],
    "std": Annotated[str | None, _option("--std", "By channel; with --mean.")],
    "class_names": ClassNames,
    "output": Output,
    "ignore": Annotated[int | None, _option("--ignore", "Segmentation: the label that does not count; 255.")],
    "scale": Annotated[float | None, _option("--scale", "What stored depths and numbers are divided by; 1.")],
    "name": Annotated[str | None, _option("--name", "What the workload is called; by default after the model.")],
}
"""By the fields of a description; paths of data and weights are every command's own."""

Given = Mapping[str, Any]
"""What was given of these options, None for what was not."""


def describing(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command these options, in the place of its parameter `given`, which gets what was given of them."""
    own = [Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=of) for name, of in _OPTIONS.items()]
    parameters: list[Parameter] = []
    for parameter in signature(command, eval_str=True).parameters.values():
        parameters += own if parameter.name == "given" else [parameter.replace(kind=Parameter.KEYWORD_ONLY)]

    @functools.wraps(command)
    def described_command(**values: Any) -> None:
        command(given={name: values.pop(name) for name in _OPTIONS}, **values)

    described_command.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    described_command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return described_command


def described(given: Mapping[str, Any]) -> Description | None:
    """The description of what was given, by the fields of a description, None for what was not; None where there is no
    model. Raises UserError where something is missing, or wrong."""
    said = {name: value for name, value in given.items() if value is not None}
    if "model" not in said:
        alone = sorted(set(said) - {"data", "weights"})
        if alone:
            raise UserError(f"--{alone[0].replace('_', '-')} goes with --model")
        return None
    for name in ("task", "data"):
        if name not in said:
            raise UserError(f"--model {said['model']}: say --{name} too")
    for name, parse in _PARSERS.items():
        if isinstance(said.get(name), str):
            said[name] = parse(f"--{name.replace('_', '-')}", said[name])
    return Description.from_json(
        {name: str(value) if isinstance(value, Path) else value for name, value in said.items()}
    )


def model_alone(model: str, weights: str | None, class_names: str | None) -> nn.Module:
    """A model without data: with weights that cost no download, unless a checkpoint is given, and with a head for as
    many classes as are named."""
    from actbench.workloads.own.models import load_model

    return load_model(model, weights or RANDOM, len(_names("--class-names", class_names)) if class_names else None)


def parse_shape(argument: str, text: str) -> tuple[int, int, int]:
    """Reads channels, height and width. Raises UserError for anything else."""
    parts = text.split(",")
    if len(parts) != 3 or not all(is_whole(part.strip()) and int(part) > 0 for part in parts):
        raise UserError(f"{argument} {text!r}: write channels, height and width, as in 3,224,224")
    channels, height, width = map(int, parts)
    return channels, height, width


def parse_inputs(argument: str, text: str) -> dict[str, tuple[int, ...]]:
    """Reads the shapes of a model's inputs by their names: `image:3,224,224;numbers:10`, or channels, height and width
    of the only one, whose name is empty then. Raises UserError for anything else."""
    if ":" not in text:
        return {"": parse_shape(argument, text)}
    shapes: dict[str, tuple[int, ...]] = {}
    for part in text.split(";"):
        name, _, sizes = (word.strip() for word in part.partition(":"))
        parts = [size.strip() for size in sizes.split(",")]
        if not name.isidentifier() or name in shapes or not all(is_whole(size) and int(size) > 0 for size in parts):
            raise UserError(f"{argument} {text!r}: write each input's name and sizes, as in image:3,224,224;numbers:10")
        shapes[name] = tuple(map(int, parts))
    return shapes


def shapes_of(model: nn.Module, inputs: Mapping[str, tuple[int, ...]]) -> list[tuple[int, ...]]:
    """The shapes of a model's inputs, in the order in which it takes them. Raises UserError where it takes others."""
    from actbench.workloads.own.models import in_order

    return in_order(model, inputs) if "" not in inputs else [inputs[""]]


def _numbers(argument: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(map(float, text.split(",")))
    except ValueError:
        raise UserError(f"{argument} {text!r}: write a number for each channel, as in 0.485,0.456,0.406") from None


def _names(argument: str, text: str) -> tuple[str, ...]:
    file = Path(text)
    try:
        lines = file.read_text("utf-8").splitlines() if "," not in text and file.is_file() else text.split(",")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{argument} {text}: {error}") from error
    return tuple(name for line in lines if (name := line.strip()))


_PARSERS = {"input": parse_shape, "mean": _numbers, "std": _numbers, "class_names": _names}
