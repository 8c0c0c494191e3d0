"""`actbench layer`: methods on one feature map, without a network."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from actbench.budget import Bits, Budget, Ceiling
from actbench.cli.arguments import is_whole, split
from actbench.cli.listing import AsJson, PluginFiles
from actbench.cli.plugins import registered
from actbench.cli.run import parse_options
from actbench.cli.tables import new_table, print_whole, say
from actbench.errors import UserError
from actbench.harness.environment import WantedDevice, choose_device
from actbench.info import MethodInfo
from actbench.records.column import NOTHING, ratio
from actbench.registry import Registry

if TYPE_CHECKING:
    from actbench.feature_map import FeatureMap
    from actbench.harness.layer import LayerRow
    from actbench.harness.workbench import Workbench


def layer(
    shape: Annotated[str | None, typer.Option(help="Of a random map: images, channels, height, width.")] = None,
    workload: Annotated[str | None, typer.Option(help="Or a workload, whose map --map is.")] = None,
    name: Annotated[str | None, typer.Option("--map", help="Of --workload: as `actbench maps` names it.")] = None,
    methods: Annotated[str, typer.Option(help="Methods, separated by commas, or `all`.")] = "all",
    ceiling: Annotated[str, typer.Option(help="For example 8x.")] = "8x",
    bits: Annotated[str, typer.Option(help="For example w8a8 or w8a2-8.")] = "w8a2-8",
    option: Annotated[list[str] | None, typer.Option(help="METHOD.NAME=VALUE; may be repeated.")] = None,
    data: Annotated[Path | None, typer.Option(help="The workload's data, where it needs any.")] = None,
    weights: Annotated[Path | None, typer.Option(help="The workload's checkpoint.")] = None,
    device: Annotated[WantedDevice, typer.Option(help="Where it is measured.")] = "auto",
    plugin: PluginFiles = None,
    as_json: AsJson = False,
) -> None:
    """Measure encoding, decoding, bytes and error of methods on one map."""
    registry, budget = registered(plugin), Budget(Ceiling.parse(ceiling), Bits.parse(bits))
    if (shape is None) == (workload is None):
        raise UserError("name one map, with --shape or with --workload and --map")
    chosen, options = _methods(registry, methods), parse_options(option or [], registry)

    from actbench.harness.layer import feature_map, measure_layer

    batch, bench = _bench(registry, shape, workload, data, weights, choose_device(device))
    fmap = feature_map(bench, name)
    rows = [
        measure_layer(bench, fmap, info, info.resolve(options.get(info.name, {})), budget, batch) for info in chosen
    ]
    if as_json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
    else:
        _print(fmap, rows, batch, budget)


def _methods(registry: Registry, text: str) -> list[MethodInfo]:
    if text == "all":
        return [info for info in registry.methods.values() if "inference" in info.tracks and info.role != "reference"]
    named = [registry.method(name) for name in split("--methods", text)]
    for info in named:
        if "inference" not in info.tracks:
            raise UserError(f"--methods {info.name}: it has no inference track, and no codec for a layer's input")
    return named


def _bench(
    registry: Registry, shape: str | None, workload: str | None, data: Path | None, weights: Path | None, device: str
) -> tuple[int, Workbench]:
    import torch

    from actbench.harness.layer import layer_bench
    from actbench.harness.workbench import Workbench
    from actbench.workloads.base import WorkloadSettings

    if shape is not None:
        batch, channels, height, width = _parse_shape(shape)
        return batch, layer_bench((channels, height, width), torch.device(device))
    info = registry.workload(str(workload))
    built = registry.load(info.target)(WorkloadSettings(data, weights))
    return 1, Workbench(built, info, torch.device(device))


def _parse_shape(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if len(parts) != 4 or not all(is_whole(part.strip()) and int(part) > 0 for part in parts):
        raise UserError(f"--shape {text!r}: write images, channels, height and width, as in 1,64,128,128")
    return tuple(map(int, parts))


def _print(fmap: FeatureMap, rows: list[LayerRow], batch: int, budget: Budget) -> None:
    table = new_table()
    table.add_column("method", no_wrap=True)
    for title in ("KiB", "ratio", "error", "encode ms", "decode ms"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("chosen")
    for row in rows:
        if row.choices is None or row.bytes is None:
            table.add_row(escape(row.method), *[NOTHING] * 5, escape(row.reason))
            continue
        chosen = " ".join(f"{name}={value}" for name, value in row.choices.items())
        shown = (f"{row.bytes / 1024:,.1f}", ratio(row.ratio or 0), f"{row.error:.4f}")
        times = (f"{1e3 * seconds:.2f}" for seconds in (row.encode or 0, row.decode or 0))
        table.add_row(escape(row.method), *shown, *times, escape(chosen))
    print_whole(table)
    say(
        f"{fmap.name}: {batch} x {fmap.channels}x{fmap.height}x{fmap.width}, {fmap.bits / 8192:,.1f} KiB an image in "
        f"fp32; {budget}. KiB: stored for an image. error: of what is read, relative to its norm. Times: medians, "
        "for the batch."
    )
