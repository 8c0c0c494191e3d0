"""`actbench doctor`: what can be done with a model, and what not and why, before any run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from actbench.cli import own
from actbench.cli.listing import AsJson
from actbench.cli.own import parse_inputs, shapes_of
from actbench.cli.tables import say
from actbench.feature_map import FLOAT_BITS
from actbench.text import some_of

if TYPE_CHECKING:
    from actbench.harness.doctor import Examination


def doctor(
    model: Annotated[str, typer.Option(help="torchvision:NAME, timm:NAME, FILE.py:FUNCTION or MODULE:FUNCTION.")],
    input_shape: Annotated[str, typer.Option("--input", help=own.INPUTS)] = "3,224,224",
    output: Annotated[str | None, typer.Option(help="Key or number of the output, of several.")] = None,
    weights: Annotated[str | None, typer.Option(help="A checkpoint, to see that it fits; none by default.")] = None,
    class_names: own.ClassNames = None,
    as_json: AsJson = False,
) -> None:
    """Say how a model is traced, which maps it has, and what cannot be folded, quantised or computed in stripes."""
    import torch

    from actbench.harness.doctor import examine
    from actbench.network.trace import trace
    from actbench.workloads.own.models import with_one_output

    inputs, built = parse_inputs("--input", input_shape), own.model_alone(model, weights, class_names)
    shapes, random = shapes_of(built, inputs), torch.Generator().manual_seed(0)
    if output is not None:
        built = with_one_output(built, output)
    network = trace(built, shapes[0], others=shapes[1:])
    found = examine(network, *(torch.rand(2, *shape, generator=random) for shape in shapes))
    if as_json:
        print(json.dumps(asdict(found) | {"warnings": found.warnings}, indent=1))
    else:
        for line in _lines(found):
            say(line)


def _lines(found: Examination) -> Iterator[str]:
    yield f"traced by torch.{found.way}; gives {found.outputs}; {found.parameters:,} parameters"
    yield f"maps: {found.maps}; largest {_size(found.peak)}, all {_size(found.traffic)}, at once {_size(found.live)}"
    yield (
        "with codecs that change nothing, outputs differ by "
        f"{found.identity_error:.1e} of the largest, and folded by {found.deployed_error:.1e}"
    )
    beside = sum(found.beside_maps.values())
    size = f" ({_size(beside)})" if beside else ""
    yield from _listed(f"kept in fp32, as no map{size}", list(found.beside_maps))
    yield from _listed("layers that read what is no map", _pairs(found.uncounted))
    yield from _listed("normalisations that cannot be folded", found.not_folded)
    yield from _listed("weights that cannot be quantised", _pairs(found.not_quantised))
    yield from _listed("steps that need whole maps", found.whole)
    yield from (f"warning: {warning}" for warning in found.warnings)


def _listed(what: str, names: Sequence[str]) -> Iterator[str]:
    yield f"{what}: {some_of(names) or 'none'}"


def _pairs(found: Mapping[str, str]) -> list[str]:
    return [f"{name} ({detail})" for name, detail in found.items()]


def _size(values: int) -> str:
    return f"{values:,} values ({values * FLOAT_BITS / 8 / 1024:,.1f} KiB)"
