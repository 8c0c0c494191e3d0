"""`actbench fit`: which method has a network's maps fit into a memory, what it loses, and how fast it is."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from actbench.budget import Bits, Ceiling
from actbench.cli import own
from actbench.cli.arguments import MOST, check_seconds, split
from actbench.cli.listing import AsJson, PluginFiles
from actbench.cli.plugins import registered
from actbench.cli.run import carry_out_cells, own_workload, show_results
from actbench.cli.tables import say
from actbench.errors import UserError
from actbench.harness.environment import WantedDevice, choose_device
from actbench.harness.executors import Places
from actbench.harness.schedule import RunRequest, ScheduledCell, cells_of, schedule
from actbench.info import MethodInfo
from actbench.records.store import Store, read_record
from actbench.registry import Registry

if TYPE_CHECKING:
    from actbench.leaderboard.choice import Choice
    from actbench.records.record import Record


@own.describing
def fit(
    memory: Annotated[str, typer.Option(help="What maps may take at once, as in 256KiB.")],
    max_loss: Annotated[float, typer.Option(help="The most that may be lost, in the metric's unit.")] = 1.0,
    max_latency: Annotated[str | None, typer.Option(help="The most time, as a multiple of fp32's: 1.5x.")] = None,
    methods: Annotated[str, typer.Option(help="Methods to choose from, separated by commas, or `all`.")] = "all",
    bits: Annotated[str, typer.Option(help="Weight and code widths, as in w8a2-8.")] = "w8a2-8",
    workload: Annotated[str | None, typer.Option(help="A workload; `actbench workloads` lists them.")] = None,
    data: Annotated[Path | None, typer.Option(help="The workload's data, where it needs any.")] = None,
    weights: Annotated[Path | None, typer.Option(help="The workload's checkpoint.")] = None,
    *,
    given: own.Given,
    limit: Annotated[
        int | None, typer.Option(min=1, max=MOST, help="Evaluate on so many images, evenly spread.")
    ] = None,
    device: Annotated[WantedDevice, typer.Option(help="Where cells are measured.")] = "auto",
    results: Annotated[Path, typer.Option(help="Where records are kept.")] = Path("results"),
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that one method may take.")] = 1800,
    plugin: PluginFiles = None,
    as_json: AsJson = False,
) -> None:
    """Choose a method by the memory that there is: run all that can, the cheapest first, and say which to take."""
    from actbench.leaderboard.choice import Limits, choose  # loads what checks the form of records

    if not 0 <= max_loss < inf:
        raise UserError(f"--max-loss {max_loss}: give a number that is not below 0")
    limits = Limits(max_loss, _factor("--max-latency", max_latency))
    registry, ceiling = registered(plugin), _ceiling(memory)
    paths = {"data": data, "weights": weights}
    request = RunRequest(
        workload=workload or "shapes",
        methods=tuple(_by_cost(split("--methods", methods), registry)),
        ceilings=(ceiling,),
        bits=(Bits.parse(bits),),
        device=choose_device(device),
        data=data,
        weights=weights,
        limit=limit,
        own=own_workload(own.described({**given, **paths}), None, workload),
    )
    store, seconds = Store(results), check_seconds(timeout)
    scheduled = schedule(cells_of(request, registry), registry, store)
    engine = registry.load(registry.executor("local").target)(Places())
    preparation = request.preparation(plugin or (), memory=None)
    carry_out_cells(preparation, registry, engine, scheduled, store, seconds)
    records = _records(scheduled, store)
    choice = choose(records, limits)
    if as_json:
        print(json.dumps(_as_json(choice, records), indent=1))
    else:
        show_results(scheduled, store, registry, as_json=False)
        workload_arguments = {"workload": workload, **given, **paths, "limit": limit}
        for line in _lines(choice, ceiling, bits, workload_arguments):
            say(line)
    if choice.taken is None:
        raise typer.Exit(1)


def _ceiling(memory: str) -> Ceiling:
    """A size is of what is in memory at once; a ceiling of another kind may be written out. Raises UserError for
    anything else."""
    try:
        return Ceiling.parse(memory if ":" in memory or memory.endswith("x") else f"live:{memory}")
    except UserError:
        raise UserError(
            f"--memory {memory!r}: write a size with KiB or MiB, as in 256KiB, or a ceiling of another kind, as in "
            "peak:64KiB, traffic:1.5MiB or 8x"
        ) from None


def _factor(argument: str, text: str | None) -> float | None:
    """Reads a multiple, `1.5x` or `1.5`. Raises UserError for anything else."""
    if text is None:
        return None
    try:
        factor = float(text.removesuffix("x"))
    except ValueError:
        factor = 0.0
    if not 0 < factor < inf:
        raise UserError(f"{argument} {text!r}: write a multiple of fp32's, as in 1.5x")
    return factor


def _by_cost(names: Sequence[str], registry: Registry) -> list[str]:
    """Methods of the inference track, the cheapest first: baselines, then those whose bits are known before an image
    is seen, then those that code every image anew."""
    known = [info for info in registry.methods.values() if "inference" in info.tracks]
    methods = known if names == ["all"] else [registry.method(name) for name in names]

    def cost(info: MethodInfo) -> tuple[bool, bool]:
        return info.role == "method", info.guarantee == "data-dependent"

    return [info.name for info in sorted(methods, key=cost)]


def _records(scheduled: Sequence[ScheduledCell], store: Store) -> list[Record]:
    return [read_record(path) for path in store.latest([one.cell for one in scheduled]) if path is not None]


def _lines(choice: Choice, ceiling: Ceiling, bits: str, arguments: Mapping[str, Any]) -> list[str]:
    lines = [f"no: {_name(record)} {reason}" for record, reason in choice.refused]
    if choice.front:
        names = ", ".join(_name(record) for record in choice.front)
        lines.append(f"no other is better in loss, time and memory together than: {names}")
    if choice.taken is None:
        return [*lines, f"nothing is within the limits at {ceiling} {bits}: allow more memory, loss or time"]
    command = [
        "actbench",
        "run",
        "--methods",
        choice.taken.cell.method.name,
        "--ceilings",
        str(ceiling),
        "--bits",
        bits,
    ]
    for name, value in arguments.items():
        command += [f"--{name.replace('_', '-')}", str(value)] if value is not None else []
    return [*lines, f"take {_name(choice.taken)}: {_figures(choice.taken)}", f"again: {shlex.join(command)}"]


def _name(record: Record) -> str:
    return record.cell.method.name


def _figures(record: Record) -> str:
    """Quality, loss, time and memory, as tables show them, and what is alive at once as a size."""
    from actbench.records.columns import column

    shown = [column(name) for name in ("quality", "difference", "live_ratio", "latency_ratio", "memory_bytes")]
    footprint = record.measurements.footprint
    size = [f"maps at once {footprint.live.peak / 8 / 1024:,.1f} KiB"] if footprint else []
    return ", ".join([*(f"{one.title} {one.text(record)}" for one in shown), *size])


def _as_json(choice: Choice, records: Sequence[Record]) -> dict[str, Any]:
    return {
        "taken": choice.taken.key if choice.taken else None,
        "front": [record.key for record in choice.front],
        "refused": {record.key: reason for record, reason in choice.refused},
        "records": [record.model_dump(mode="json", context={"plain": True}) for record in records],
    }
