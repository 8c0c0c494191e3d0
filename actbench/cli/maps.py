"""`actbench maps`: the feature maps of a model, and what a ceiling leaves of each; or what its layers compute."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.markup import escape

from actbench.budget import Bits, Budget, Ceiling
from actbench.cli import own
from actbench.cli.listing import AsJson, PluginFiles
from actbench.cli.operations import describe_operations, print_operations
from actbench.cli.own import parse_inputs, shapes_of
from actbench.cli.plugins import registered
from actbench.cli.run import parse_options
from actbench.cli.tables import new_table, print_whole, say
from actbench.errors import UserError
from actbench.feature_map import FLOAT_BITS, FeatureMap, Maps

if TYPE_CHECKING:
    from torch import nn

    from actbench.codec.method import Method
    from actbench.network.trace import TracedNetwork
    from actbench.workloads.base import Workload

Convention = Literal[Maps, "activations"]
Shape = tuple[int, int, int]

_INPUT = "3,224,224"
"""Of a model where nothing says another."""


def maps(
    model: Annotated[str | None, typer.Option(help="FILE.py:NAME, torchvision:NAME, timm:NAME or MODULE:NAME.")] = None,
    workload: Annotated[str | None, typer.Option(help="A workload's network, as it is measured.")] = None,
    suite: Annotated[Path | None, typer.Option(help="The network that a suite describes.")] = None,
    data: Annotated[Path | None, typer.Option(help="Of --suite: where it says no size, the first image's.")] = None,
    input_shape: Annotated[
        str | None, typer.Option("--input", help=own.INPUTS, show_default="3,224,224, or the suite's")
    ] = None,
    output: own.Output = None,
    weights: Annotated[Path | None, typer.Option(help="A checkpoint of --model or --workload.")] = None,
    class_names: own.ClassNames = None,
    ceiling: Annotated[str, typer.Option(help="For example 4x, traffic:4x, or live:64KiB.")] = "4x",
    bits: Annotated[str, typer.Option(help="For example w8a8, w8a2-8, or w32a32 for none.")] = "w32a32",
    convention: Annotated[
        Convention,
        typer.Option("--maps", help="All in memory, what convolutions read, or what nonlinearities write."),
    ] = "live",
    bops: Annotated[bool, typer.Option("--bops", help="Print operations of layers, with maps in plain codes.")] = False,
    method: Annotated[str | None, typer.Option(help="With --bops: its codecs, in place of plain codes.")] = None,
    option: Annotated[list[str] | None, typer.Option(help="METHOD.NAME=VALUE; may be repeated.")] = None,
    plugin: PluginFiles = None,
    as_json: AsJson = False,
) -> None:
    """Print a model's feature maps, and the channels (rank) of each that fit under a ceiling."""
    from actbench.network.trace import trace

    budget = Budget(Ceiling.parse(ceiling), Bits.parse(bits))
    if [model, workload, suite].count(None) != 2:
        raise UserError("name one network, with --model, --workload or --suite")
    if data is not None and suite is None:
        raise UserError("--data goes with --suite: other networks need no images here")
    if workload is not None and input_shape is not None:
        raise UserError("--input goes with --model or --suite: a workload has a size of its own")
    if not bops and (method or option):
        raise UserError("--method and --option go with --bops")
    counted: Maps = "live" if convention == "activations" else convention
    if model is not None:
        built = own.model_alone(model, None if weights is None else str(weights), class_names)
        shapes: Sequence[tuple[int, ...]] = shapes_of(built, parse_inputs("--input", input_shape or _INPUT))
        built = _of_one_output(built, shapes, output or "")
    else:
        given = None if input_shape is None else own.parse_shape("--input", input_shape)
        built, shape = _workload(str(workload), weights, plugin) if suite is None else _described(suite, data, given)
        shapes = [shape]
    network = trace(built, shapes[0], counted, others=shapes[1:])
    if bops and len(shapes) > 1:
        raise UserError("--bops is for networks of one input")
    if bops:
        chosen = _method(method, option or (), plugin or ())
        _print_operations(network, budget, chosen, as_json=as_json)
        return
    report = describe(network, budget, convention)
    if as_json:
        print(json.dumps(report, indent=1))
    else:
        _print(report)


def _method(name: str | None, options: Sequence[str], plugins: Sequence[Path]) -> Method | None:
    if name is None:
        return None
    registry = registered(plugins)
    info, given = registry.method(name), parse_options(options, registry)
    method: Method = registry.load(info.target)(info.resolve(given.get(name, {})))
    return method


def _print_operations(network: TracedNetwork, budget: Budget, method: Method | None, *, as_json: bool) -> None:
    from actbench.harness.operations import method_operations, plain_operations

    plain = plain_operations(network, budget.bits)
    layers = plain if method is None else method_operations(network, method, budget)
    report = describe_operations(layers, plain, budget.bits)
    if as_json:
        print(json.dumps(report, indent=1))
    else:
        print_operations(report)


def _of_one_output(model: nn.Module, shapes: Sequence[tuple[int, ...]], output: str) -> nn.Module:
    import torch

    from actbench.workloads.own.models import of_one_output

    return of_one_output(model, output, *(torch.zeros(1, *shape) for shape in shapes))[0]


def _described(path: Path, data: Path | None, given: Shape | None) -> tuple[nn.Module, Shape]:
    """The network that a suite describes, and the shape of its images, which have to be there only where nothing says
    it. Weights are not read: maps do not depend on them."""
    from actbench.cli.suite import read_suite
    from actbench.workloads.own.description import RANDOM
    from actbench.workloads.own.models import load_model
    from actbench.workloads.own.workload import OwnWorkload

    described = read_suite(path, registered(()), data).own
    if described is None:
        raise UserError(f"--suite {path} describes no network: give it a table [workload]")
    shape = given or described.input or OwnWorkload(described).input_shape
    classes = len(described.class_names) or (described.layout.classes if described.data else None)
    built = load_model(described.model, RANDOM, classes if described.weights else None)
    return _of_one_output(built, [shape], described.output), shape


def _workload(name: str, weights: Path | None, plugins: Sequence[Path] | None) -> tuple[nn.Module, Shape]:
    """A workload's network, which needs no data, and the shape of its images."""
    from actbench.workloads.base import WorkloadSettings

    registry = registered(plugins or ())
    workload: Workload = registry.load(registry.workload(name).target)(WorkloadSettings(weights=weights))
    return workload.model(), workload.input_shape


def describe(network: TracedNetwork, budget: Budget, convention: Convention) -> dict[str, Any]:
    """The report of a network, in bits an image. `rank` is at the widest code that the budget allows."""
    counted = network.activations if convention == "activations" else network.maps
    if not counted:
        raise UserError("the model has no feature map: no convolution reads the output of another layer")
    rows = [_row(fmap, counted, budget) for fmap in counted]
    traffic, stored = sum(fmap.bits for fmap in counted), sum(row["stored_bits"] for row in rows)
    largest = max((fmap.elements for fmap in network.activations), default=0)
    return {
        "ceiling": str(budget.ceiling),
        "bits": str(budget.bits),
        "limit": budget.ceiling.limit(counted),
        "of_fp32": budget.ceiling.whole(counted) / max(1, budget.ceiling.limit(counted)),
        "peak": max(fmap.bits for fmap in counted),
        "traffic": traffic,
        "stored_peak": max(row["stored_bits"] for row in rows),
        "stored_traffic": stored,
        "total_ratio": traffic / stored if stored else None,
        **_live(network, rows, convention),
        "parameters": network.parameters,
        "largest_activation": largest,
        "largest_activation_share": largest / network.parameters if network.parameters else None,
        "maps": rows,
    }


def _live(network: TracedNetwork, rows: list[dict[str, Any]], convention: str) -> dict[str, Any]:
    """Bits alive at the same time, and of the tensors that wait and are no maps; nothing of activations."""
    from actbench.network.conventions import live_peak

    if convention == "activations":
        return {}
    stored = {row["name"]: row["stored_bits"] for row in rows}
    in_maps = {place.map for place in network.places.values()}
    others = {tensor.node: tensor.bits for tensor in network.held if tensor.node not in in_maps}
    alive = {"live_peak": live_peak(network, {}), "stored_live_peak": live_peak(network, stored)}
    return {**alive, "beside_maps": others}


def _row(fmap: FeatureMap, counted: tuple[FeatureMap, ...], budget: Budget) -> dict[str, Any]:
    allowance = budget.allowance(fmap, counted)
    width = budget.bits.high
    rank = fmap.channels if allowance.leaves_alone(fmap) else allowance.rank(fmap.positions, width)
    return {
        "name": fmap.name,
        "channels": fmap.channels,
        "height": fmap.height,
        "width": fmap.width,
        "elements": fmap.elements,
        "rank": rank,
        "stored_bits": rank * fmap.positions * width,
        "producer": fmap.producer,
        "consumers": [reader.name for reader in fmap.readers],
        "shared": fmap.shared,
    }


def _print(report: dict[str, Any]) -> None:
    table = new_table()
    for column in ("map (first reader)", "written by"):
        table.add_column(column, no_wrap=True)
    for column in ("C", "H", "W", "elements", "rank", "stored bits", "readers"):
        table.add_column(column, justify="right")
    for row in report["maps"]:
        numbers = (row["channels"], row["height"], row["width"], row["elements"], row["rank"], row["stored_bits"])
        style = "" if row["rank"] == row["channels"] else "bold"
        cells = [escape(row["name"]), escape(row["producer"]), *(f"{number:,}" for number in numbers)]
        table.add_row(*cells, str(len(row["consumers"])), style=style)
    print_whole(table)
    say("")
    for line in _summary(report):
        say(line)


def _summary(report: dict[str, Any]) -> list[str]:
    ratio = f"{report['total_ratio']:.1f}x" if report["total_ratio"] else "n/a"
    share = report["largest_activation_share"]
    lines = [
        f"ceiling {report['ceiling']} at {report['bits']}: {report['limit']:,} bits "
        f"({report['limit'] / 8192:,.1f} KiB, {report['limit'] / FLOAT_BITS:,.1f} fp32 values), "
        f"{report['of_fp32']:.2f}x less than in fp32",
        f"largest map {report['peak']:,} → {report['stored_peak']:,} bits",
        f"all maps {report['traffic']:,} → {report['stored_traffic']:,} bits: total ratio {ratio}",
    ]
    if "live_peak" in report:
        lines.append(f"alive at once {report['live_peak']:,} → {report['stored_live_peak']:,} bits")
    if beside := report.get("beside_maps"):
        lines.append(f"no maps, and kept in fp32: {len(beside)} tensors of {sum(beside.values()):,} bits")
    if share is not None:
        lines.append(
            f"largest activation {report['largest_activation']:,} values, "
            f"{_percent(share)} of the {report['parameters']:,} parameters"
        )
    return lines


def _percent(share: float) -> str:
    return f"{100 * share:,.0f} %" if share >= 0.1 else f"{100 * share:.2g} %"
