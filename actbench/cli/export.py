"""`actbench export`: the compressed network of a record, or of a method, as files that others run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console

from actbench.budget import Bits, Ceiling
from actbench.cli import own
from actbench.cli.arguments import MOST
from actbench.cli.listing import PluginFiles
from actbench.cli.plugins import registered
from actbench.cli.run import own_workload, parse_options
from actbench.cli.tables import say
from actbench.errors import Unsupported, UserError
from actbench.harness.schedule import RunRequest, cells_of, unsupported_reason
from actbench.records.store import read_record
from actbench.registry import Registry
from actbench.settings import Inference
from actbench.spec import CellSpec

if TYPE_CHECKING:
    from actbench.exporting.deployment import Deployment, Format
    from actbench.exporting.write import Exported
    from actbench.harness.workbench import Workbench
    from actbench.records.record import Record
    from actbench.workloads.own.description import Description

Wanted = Literal["auto", "onnx", "torch"]


@own.describing
def export(
    out: Annotated[Path, typer.Option(help="A new folder for what is written.")],
    record: Annotated[Path | None, typer.Argument(help="A record's file: its network.")] = None,
    method: Annotated[str | None, typer.Option(help="Or a method, with --ceiling.")] = None,
    ceiling: Annotated[str, typer.Option(help="As in 8x, traffic:4x or live:64KiB.")] = "8x",
    bits: Annotated[str, typer.Option(help="Weight and code widths, as in w8a2-8.")] = "w8a2-8",
    option: Annotated[list[str] | None, typer.Option(help="METHOD.NAME=VALUE; may be repeated.")] = None,
    format: Annotated[Wanted, typer.Option(help="ONNX, or a program of torch; ONNX where there is one.")] = "auto",
    workload: Annotated[str | None, typer.Option(help="A workload; `actbench workloads` lists them.")] = None,
    data: Annotated[Path | None, typer.Option(help="The workload's data, where it needs any.")] = None,
    weights: Annotated[Path | None, typer.Option(help="The workload's checkpoint.")] = None,
    *,
    given: own.Given,
    limit: Annotated[
        int | None, typer.Option(min=1, max=MOST, help="Compare on so many images, evenly spread.")
    ] = None,
    plugin: PluginFiles = None,
) -> None:
    """Write a compressed network as ONNX or as a program of torch, checked, and a table of its maps."""
    if (record is None) == (method is None):
        raise UserError("name a record, or a method with --method")
    if out.exists() and any(out.iterdir()):
        raise UserError(f"--out {out} is not empty: name a new folder")
    registry = registered(plugin)
    if record is not None:
        others = {"method": method, "workload": workload, **given, "limit": limit}
        _refuse_with_record([name for name, value in others.items() if value is not None])
        published = read_record(record)
        _write(_of_record(published, registry, data, weights), out, format)
        return
    said = own_workload(own.described({**given, "data": data, "weights": weights}), None, workload)
    request = RunRequest(
        workload=workload or "shapes",
        methods=(str(method),),
        ceilings=(Ceiling.parse(ceiling),),
        bits=(Bits.parse(bits),),
        data=data,
        weights=weights,
        limit=limit,
        options=parse_options(option or [], registry),
        own=said,
    )
    # A run has its references too.
    (cell,) = (cell for cell in cells_of(request, registry) if cell.method.name == method)
    _write(_of_cell(cell, registry, data, weights, said), out, format)


def _refuse_with_record(given: list[str]) -> None:
    if given:
        raise UserError(f"--{given[0]}: the record says that already; leave it out")


def _of_record(
    record: Record, registry: Registry, data: Path | None, weights: Path | None
) -> tuple[Workbench, Deployment]:
    """The network of a record, which has to store what the record says."""
    from actbench.harness.again import check_footprint

    _check_same(record, registry, data, weights)
    cell, said = record.cell, None
    if cell.workload.own is not None:
        said = _described(cell, data, weights)
    _use_threads(record)
    bench, deployment = _of_cell(cell, registry, data, weights, said)
    check_footprint(bench, record, deployment.spliced)
    return bench, deployment


def _described(cell: CellSpec, data: Path | None, weights: Path | None) -> Description:
    from actbench.workloads.own.description import Description

    return Description.from_canonical(
        cell.workload.own or {}, cell.workload.name, data, "" if weights is None else str(weights)
    )


def _check_same(record: Record, registry: Registry, data: Path | None, weights: Path | None) -> None:
    """Raises UserError where protocol, method, network or images are not those of the record."""
    from actbench.harness.verify import Sources, check_environment, identities

    cell = record.cell
    if not isinstance(cell.settings, Inference):
        raise UserError(f"record {record.key} is of the training track: nothing of it is deployed")
    if cell.workload.own is not None:
        here = _described(cell, data, weights).digests()
        differing = sorted(part for part, digest in cell.workload.digests.items() if here.get(part) != digest)
    else:
        checks = check_environment(record, registry, identities(registry, Sources(data, weights)))
        source = f"plugin {cell.method.name}"
        differing = [check.name for check in checks if not check.holds and not check.name.startswith(source)]
    if differing:
        raise UserError(f"record {record.key} was made with another {differing[0]}: `actbench verify` says more")


def _use_threads(record: Record) -> None:
    """Sums are rounded otherwise on another number of threads, and here and there a code with them."""
    import torch

    threads = record.environment.threads if record.environment else None
    if threads:
        torch.set_num_threads(threads)


def _of_cell(
    cell: CellSpec, registry: Registry, data: Path | None, weights: Path | None, said: Description | None
) -> tuple[Workbench, Deployment]:
    """The workload, and the cell's network. Raises UserError where the method cannot do what the cell asks for."""
    import torch

    from actbench.cli.progress import ProgressBar
    from actbench.exporting.deployment import Deployment
    from actbench.harness.again import compress_again
    from actbench.harness.workbench import Workbench

    info = registry.method(cell.method.name)
    if reason := unsupported_reason(cell, registry):
        raise UserError(reason)
    bench = Workbench(*_workload(cell, registry, data, weights, said), torch.device("cpu"))
    try:
        with ProgressBar([cell], Console(stderr=True)) as bar:
            bar.started(cell)
            spliced = compress_again(bench, cell, info, bar.step)
    except Unsupported as error:
        raise UserError(f"{info.name} {cell.budget}: {error}") from error
    assert isinstance(cell.settings, Inference)
    about = {"record": cell.key, "spec": cell.canonical()}
    network = bench.maps[cell.settings.maps].network
    return bench, Deployment(network, spliced, cell.budget, info.name, about)


def _workload(
    cell: CellSpec, registry: Registry, data: Path | None, weights: Path | None, said: Description | None
) -> tuple[Any, Any]:
    from actbench.workloads.base import WorkloadSettings
    from actbench.workloads.own.workload import OwnWorkload

    if said is not None:
        built = OwnWorkload(said, cell.workload.limit)
        return built, built.info
    info = registry.workload(cell.workload.name)
    return registry.load(info.target)(WorkloadSettings(data, weights, cell.workload.limit)), info


def _write(made: tuple[Workbench, Deployment], out: Path, wanted: Wanted) -> None:
    from actbench.exporting.agreement import OtherOutputs

    bench, deployment = made
    try:
        for line in str(_written(bench, deployment, out, wanted)).splitlines():
            say(line)
    except OtherOutputs as error:
        say(str(error))
        raise typer.Exit(1) from error


def _written(bench: Workbench, deployment: Deployment, out: Path, wanted: Wanted) -> Exported:
    from actbench.exporting.write import write_export

    def written(form: Format) -> Exported:
        with Console(stderr=True).status(f"writing {form}, and comparing its outputs"):
            return write_export(deployment, out, form, _images(bench))

    try:
        return written("torch" if wanted == "torch" else "onnx")
    except Unsupported as error:
        if wanted != "auto":
            instead = "; --format torch writes a program instead" if wanted == "onnx" else ""
            raise UserError(f"no {wanted} of {deployment.method}: {error}{instead}") from error
        say(f"no ONNX of {deployment.method}, but a program of torch: {error}")
    try:
        return written("torch")
    except Unsupported as error:
        raise UserError(f"no program of {deployment.method} either: {error}") from error


def _images(bench: Workbench) -> Iterator[Any]:
    return (images for images, _ in bench.evaluation.batches(bench.batches.evaluation))
