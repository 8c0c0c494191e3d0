"""`actbench run`: measures every method under the same ceilings, and prints the table."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.markup import escape

from actbench.budget import Bits, Ceiling
from actbench.cli import own
from actbench.cli.arguments import MOST, check_seconds, make_folder, parse_last, parse_memory, parse_seeds, split
from actbench.cli.listing import AsJson, PluginFiles
from actbench.cli.plugins import registered
from actbench.cli.tables import new_table, print_whole, say
from actbench.errors import UserError
from actbench.feature_map import Maps
from actbench.harness.durations import Durations, in_words, kinds_of
from actbench.harness.environment import WantedDevice, check_compiler, choose_device
from actbench.harness.executors import Executor, Places
from actbench.harness.messages import Preparation
from actbench.harness.schedule import RunRequest, ScheduledCell, cells_of, schedule
from actbench.info import OptionValue, Track
from actbench.recipe import RecipeName
from actbench.records.store import FAILED, Store, read_record
from actbench.registry import Registry
from actbench.settings import (
    Arithmetic,
    Inference,
    Normalisation,
    OnOff,
    PlainMapsChoice,
    TrackSettings,
    Training,
    settings_of,
)
from actbench.spec import CellSpec

if TYPE_CHECKING:
    from actbench.cli.suite import Suite
    from actbench.workloads.own.description import Description

Retry = Literal["failed"]

_EARLIER = 200
"""Records that are read to say how long a run takes."""

SUITES = "suites"
"""Where the descriptions of networks and images of the user's own are kept, in a results folder."""


def setting(track: type[TrackSettings], name: str, **more: Any) -> Any:
    """The option of a track's setting, which says itself what it is."""
    return typer.Option(track.wordings()[name].argument, help=track.wordings()[name].help, **more)


@own.describing
def run(
    methods: Annotated[str | None, typer.Option(help="Methods, separated by commas, or `all`.")] = None,
    suite: Annotated[Path | None, typer.Option(help="A TOML file of methods with options, side by side.")] = None,
    workload: Annotated[
        str | None, typer.Option(help="What to run them on; `actbench workloads` lists them.", show_default="shapes")
    ] = None,
    ceilings: Annotated[str, typer.Option(help="Ceilings, as in 8x,traffic:4x,live:64KiB.")] = "8x,16x,32x",
    bits: Annotated[str, typer.Option(help="Weight and code widths, as in w8a8,w8a2-8.")] = "w8a2-8",
    track: Annotated[Track, typer.Option(help="Compress maps, or what back-propagation saves.")] = "inference",
    recover: Annotated[int, setting(Inference, "recover", min=0, max=MOST)] = 0,
    recipe: Annotated[RecipeName, setting(Inference, "recipe")] = "protocol",
    maps: Annotated[Maps, setting(Inference, "maps")] = "live",
    stripe: Annotated[str, setting(Inference, "stripe")] = "auto",
    fit: Annotated[OnOff, setting(Inference, "fit")] = "on",
    plain: Annotated[PlainMapsChoice, setting(Inference, "plain")] = "rule",
    compute: Annotated[Arithmetic, setting(Inference, "compute")] = "fp32",
    compile: Annotated[bool, setting(Inference, "compile")] = False,
    last: Annotated[str, setting(Training, "last")] = "all",
    normalisation: Annotated[Normalisation, setting(Training, "normalisation")] = "quantised",
    seeds: Annotated[str, typer.Option(help="Seeds, as in 0,1,2.")] = "0",
    data: Annotated[Path | None, typer.Option(help="The workload's data, where it needs any.")] = None,
    weights: Annotated[Path | None, typer.Option(help="The workload's checkpoint.")] = None,
    *,
    given: own.Given,
    limit: Annotated[
        int | None, typer.Option(min=1, max=MOST, help="Evaluate on so many images, evenly spread.")
    ] = None,
    option: Annotated[list[str] | None, typer.Option(help="METHOD.NAME=VALUE; may be repeated.")] = None,
    device: Annotated[WantedDevice, typer.Option(help="Where cells are measured.")] = "auto",
    results: Annotated[Path, typer.Option(help="Where records are kept.")] = Path("results"),
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that one cell may take.")] = 1800,
    memory: Annotated[str, typer.Option(help="Memory that one cell may take, as in 8GiB.")] = "free",
    retry: Annotated[Retry | None, typer.Option(help="Try cells again that crashed or ran out.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure anew what has a record already.")] = False,
    executor: Annotated[str, typer.Option(help="How cells are carried out: local, or dask.")] = "local",
    workers: Annotated[int | None, typer.Option(min=1, max=1000, help="Workers, side by side.")] = None,
    scheduler: Annotated[str, typer.Option(help="With --executor dask: the address of its scheduler.")] = "",
    plugin: PluginFiles = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be run, and run nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run methods on a workload. What has a record already is not run again."""
    if methods is None and suite is None:
        raise UserError("name what to run with --methods, separated by commas, or --suite")
    registry = registered(plugin)
    chosen = {
        "--recover": recover,
        "--recipe": recipe,
        "--maps": maps,
        "--stripe": stripe,
        "--fit": fit,
        "--plain": plain,
        "--compute": compute,
        "--compile": compile,
        "--last": parse_last(last),
        "--normalisation": normalisation,
    }
    read = _suite(suite, registry, data, weights)
    described = own.described({**given, "data": data, "weights": weights})
    request = RunRequest(
        workload=workload or "shapes",
        methods=tuple(split("--methods", methods)) if methods is not None else (),
        ceilings=tuple(map(Ceiling.parse, split("--ceilings", ceilings))),
        bits=tuple(map(Bits.parse, split("--bits", bits))),
        seeds=parse_seeds(seeds),
        settings=settings_of(track, chosen),
        device=choose_device(device),
        data=data,
        weights=weights,
        limit=limit,
        options=parse_options(option or [], registry),
        variants=read.variants,
        own=own_workload(described, read.own, workload),
    )
    if compile:
        check_compiler()
    preparation, seconds = request.preparation(plugin or (), parse_memory(memory)), check_seconds(timeout)
    engine, store = registry.load(registry.executor(executor).target)(Places(workers, scheduler)), Store(results)
    scheduled = schedule(cells_of(request, registry), registry, store, retry=retry == "failed", fresh=fresh)
    if dry_run:
        _show_schedule(scheduled, store, as_json)
        return
    try:
        carry_out_cells(preparation, registry, engine, scheduled, store, seconds)
    except KeyboardInterrupt:
        if show_results(scheduled, store, registry, as_json):
            print("the same command again runs what has no record yet", file=sys.stderr)
        raise
    if any(status in (*FAILED, "invalid") for status in show_results(scheduled, store, registry, as_json)):
        raise typer.Exit(1)


def carry_out_cells(
    preparation: Preparation,
    registry: Registry,
    engine: Executor,
    scheduled: Sequence[ScheduledCell],
    store: Store,
    timeout: float,
) -> None:
    """Carries out what has no record yet, with a bar on the terminal. Keeps beside the records what says how they are
    measured again, where there are any: a network that cannot be measured has nothing to repeat."""
    from actbench.cli.progress import RunProgress
    from actbench.cli.suite import write_workload
    from actbench.harness.load import busy_line
    from actbench.harness.run import carry_out

    left = [one.cell for one in scheduled if one.status is None]
    if left:
        make_folder("--results", store.folder)
        if busy := busy_line():
            print(busy, file=sys.stderr)
    with RunProgress(left, Console(stderr=True), _earlier(store, left)) as bar:
        try:
            carry_out(scheduled, preparation, engine, store, bar, timeout, registry)
        finally:
            if bar.ended_any and preparation.own is not None:
                write_workload(store.folder.parent / SUITES, preparation.own)


def _earlier(store: Store, cells: Sequence[CellSpec]) -> Durations:
    """What cells of the same workload took before."""
    from actbench.leaderboard.frame import readable
    from actbench.records.skipped import Skipped

    newest = [[path] for cell in cells[:1] for path in store.newest(cell.workload.name, _EARLIER)]
    return Durations(record for _, record in readable(newest, Skipped()))


def _show_schedule(scheduled: Sequence[ScheduledCell], store: Store, as_json: bool) -> None:
    rows = [(one.cell, one.status or ("unsupported" if one.reason else "to run"), one.reason) for one in scheduled]
    if as_json:
        print(
            json.dumps(
                [
                    {"key": cell.key, "spec": cell.canonical(), "state": state, "reason": reason}
                    for cell, state, reason in rows
                ],
                indent=1,
            )
        )
        return
    from actbench.records.names import cell_names

    table = new_table()
    for column in ("method", "ceiling", "bits", "division", "seed", "state", "reason"):
        table.add_column(column, no_wrap=True)
    names = cell_names([cell for cell, _, _ in rows], seeds=False)
    for name, (cell, state, reason) in zip(names, rows, strict=True):
        shown = state if state in ("to run", "unsupported") else f"cached: {state}"
        budget = cell.budget
        row = (
            name,
            str(budget.ceiling),
            str(budget.bits),
            cell.settings.division,
            str(cell.seed),
            shown,
            reason,
        )
        table.add_row(*map(escape, row))
    print_whole(table)
    counts = Counter(
        "to run" if state == "to run" else "unsupported" if reason else "cached" for _, state, reason in rows
    )
    left = [cell for cell, state, reason in rows if state == "to run"]
    seconds = _earlier(store, left).sum([kinds_of(cell) for cell in left]) if left else None
    estimate = f": about {in_words(seconds)}, by what cells took before" if seconds is not None else ""
    say(", ".join(f"{number} {state}" for state, number in sorted(counts.items())) + estimate)


def show_results(scheduled: Sequence[ScheduledCell], store: Store, registry: Registry, as_json: bool) -> list[str]:
    """Prints the records of all scheduled cells that have one, and returns their statuses."""
    from actbench.cli.results import print_table
    from actbench.harness.source import of_other_source

    records = [read_record(path) for path in store.latest([one.cell for one in scheduled]) if path is not None]
    if as_json:
        print(json.dumps([record.model_dump(mode="json", context={"plain": True}) for record in records], indent=1))
    elif records:
        print_table(records)
        for record in records:
            if record.status != "ok":
                say(f"{record.cell.method.name} {record.cell.budget}: {record.status}: {record.reason}")
        say(f"{len(records)} of {len(scheduled)} cells have a record in {store.folder}")
        for method in of_other_source(records, registry):
            say(f"{method}: measured before its source was changed, under the same version; --fresh measures it anew")
        if any(record.status in FAILED for record in records):
            say("the same command with --retry failed tries again what crashed or ran out of time or memory")
    return [record.status for record in records]


def _suite(path: Path | None, registry: Registry, data: Path | None, weights: Path | None) -> Suite:
    from actbench.cli.suite import Suite, read_suite  # loads what checks its form

    return Suite() if path is None else read_suite(path, registry, data, weights)


def own_workload(said: Description | None, in_suite: Description | None, workload: str | None) -> Description | None:
    """The network and images of the user's own, which are described in one place. Raises UserError for two."""
    if sum(given is not None for given in (said, in_suite, workload)) > 1:
        raise UserError("name one workload: with --workload, with --model, or in the suite")
    return said or in_suite


def parse_options(given: Sequence[str], registry: Registry) -> dict[str, dict[str, OptionValue]]:
    """Reads `METHOD.NAME=VALUE` as values of the options' types."""
    parsed: dict[str, dict[str, OptionValue]] = {}
    for text in given:
        target, equals, value = text.partition("=")
        method, dot, name = target.partition(".")
        if not (equals and dot):
            raise UserError(f"--option {text!r}: write METHOD.NAME=VALUE")
        info = registry.method(method)
        known = {option.name: option for option in info.options}
        if name not in known:
            raise UserError(f"method {method} has no option {name!r}; its options: {', '.join(known) or 'none'}")
        if name in parsed.setdefault(method, {}):
            raise UserError(f"--option {target} is given more than once")
        parsed[method][name] = known[name].parse(value)
    return parsed
