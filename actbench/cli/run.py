"""`actbench run`: measures every method under the same ceilings, and prints the table."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, cast, get_args

import typer
from rich.console import Console
from rich.markup import escape

from actbench.budget import Bits, Ceiling
from actbench.cli.listing import AsJson, PluginFiles
from actbench.cli.suite import read_suite
from actbench.cli.tables import new_table, print_whole
from actbench.errors import UserError
from actbench.harness.environment import choose_device
from actbench.harness.plan import PlannedCell, RunRequest, plan_cells, plan_run
from actbench.info import ExecutorInfo, Normalisation, OptionValue, Track, load_target
from actbench.recipe import RecipeName
from actbench.records.store import FAILED, Store, read_record
from actbench.registry import Registry, load_plugins


def run(
    methods: Annotated[str | None, typer.Option(help="Methods, separated by commas, or `all`.")] = None,
    suite: Annotated[Path | None, typer.Option(help="A TOML file of methods with options, side by side.")] = None,
    workload: Annotated[str, typer.Option(help="What to run them on; `actbench workloads` lists them.")] = "shapes",
    ceilings: Annotated[str, typer.Option(help="Ceilings, as in 8x,16x,traffic:4x.")] = "8x,16x,32x",
    bits: Annotated[str, typer.Option(help="Weight and code widths, as in w8a8,w8a2-8.")] = "w8a2-8",
    track: Annotated[str, typer.Option(help="inference, or training: what back-propagation saves.")] = "inference",
    recover: Annotated[int, typer.Option(min=0, help="Steps of recovery (open division), or of training.")] = 0,
    last: Annotated[str, typer.Option(help="Training: how many of the last convolutions, or all.")] = "all",
    normalisation: Annotated[
        str, typer.Option(help="Training: inputs of normalisations are kept quantised, exact, or recomputed.")
    ] = "quantised",
    recipe: Annotated[str, typer.Option(help="protocol: the same for all; paper: each method's own.")] = "protocol",
    seeds: Annotated[str, typer.Option(help="Seeds, as in 0,1,2.")] = "0",
    data: Annotated[Path | None, typer.Option(help="The workload's data, where it needs any.")] = None,
    weights: Annotated[Path | None, typer.Option(help="The workload's checkpoint.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Evaluate on so many images, evenly spread.")] = None,
    option: Annotated[list[str] | None, typer.Option(help="METHOD.NAME=VALUE; may be repeated.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    results: Annotated[Path, typer.Option(help="Where records are kept.")] = Path("results"),
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that one cell may take.")] = 1800,
    retry: Annotated[str | None, typer.Option(help="`failed`: try cells again that crashed or ran out.")] = None,
    executor: Annotated[str, typer.Option(help="How cells are carried out.")] = "local",
    plugin: PluginFiles = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be run, and run nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run methods on a workload. What has a record already is not run again."""
    _check_usage(methods, suite, retry, recipe, recover, track)
    registry = load_plugins(plugin or ())
    request = RunRequest(
        workload=workload,
        methods=tuple(_split("--methods", methods)) if methods is not None else (),
        ceilings=tuple(map(Ceiling.parse, _split("--ceilings", ceilings))),
        bits=tuple(map(Bits.parse, _split("--bits", bits))),
        seeds=_seeds(seeds),
        recover=recover,
        recipe=cast(RecipeName, recipe),
        track=cast(Track, track),
        last=_last(last, track),
        normalisation=_normalisation(normalisation, track),
        device=choose_device(device),
        data=data,
        weights=weights,
        limit=limit,
        options=parse_options(option or [], registry),
        variants=read_suite(suite, registry) if suite else (),
    )
    engine = registry.executor(executor)
    store = Store(results)
    planned = plan_run(plan_cells(request, registry), registry, store, retry == "failed")
    if dry_run:
        _show_plan(planned, as_json)
        return
    try:
        _carry_out(request, engine, planned, store, timeout, plugin or [])
    except KeyboardInterrupt:
        _show_results(planned, store, as_json)
        raise
    statuses = _show_results(planned, store, as_json)
    if any(status in (*FAILED, "invalid") for status in statuses):
        raise typer.Exit(1)


def _check_usage(
    methods: str | None, suite: Path | None, retry: str | None, recipe: str, recover: int, track: str
) -> None:
    """Options that do not go together, or have no such value. Raises UserError."""
    if retry not in (None, "failed"):
        raise UserError(f"--retry {retry!r}: the one choice is failed")
    if methods is None and suite is None:
        raise UserError("name what to run with --methods, separated by commas, or --suite")
    if recipe not in get_args(RecipeName):
        raise UserError(f"--recipe {recipe!r}: choose protocol or paper")
    if recipe == "paper" and not recover:
        raise UserError("--recipe paper says how to train: give a number of steps with --recover")
    if track not in get_args(Track):
        raise UserError(f"--track {track!r}: choose inference or training")
    if track == "training" and (not recover or recipe == "paper"):
        raise UserError("--track training: give a number of steps with --recover, and no --recipe")


def _carry_out(
    request: RunRequest,
    executor: ExecutorInfo,
    planned: Sequence[PlannedCell],
    store: Store,
    timeout: float,
    plugin_files: Sequence[Path],
) -> None:
    from actbench.cli.progress import ProgressBar
    from actbench.harness.messages import Preparation
    from actbench.harness.run import carry_out

    left = [plan for plan in planned if plan.status is None]
    preparation = Preparation(
        request.workload, request.device, request.data, request.weights, request.limit, tuple(plugin_files)
    )
    engine = load_target(executor.target)()
    with ProgressBar(len(left), Console(stderr=True)) as bar:
        carry_out(planned, preparation, engine, store, bar, timeout)


def _show_plan(planned: Sequence[PlannedCell], as_json: bool) -> None:
    rows = [(plan.cell, plan.status or ("unsupported" if plan.reason else "to run"), plan.reason) for plan in planned]
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
    table = new_table()
    for column in ("method", "ceiling", "bits", "division", "seed", "state", "reason"):
        table.add_column(column, no_wrap=True)
    for cell, state, reason in rows:
        shown = state if state in ("to run", "unsupported") else f"cached: {state}"
        budget = cell.budget
        row = (cell.method.name, str(budget.ceiling), str(budget.bits), cell.division, str(cell.seed), shown, reason)
        table.add_row(*map(escape, row))
    print_whole(table)
    counts = Counter(
        "to run" if state == "to run" else "unsupported" if reason else "cached" for _, state, reason in rows
    )
    Console().print(", ".join(f"{number} {state}" for state, number in sorted(counts.items())), highlight=False)


def _show_results(planned: Sequence[PlannedCell], store: Store, as_json: bool) -> list[str]:
    """Prints the records of all planned cells that have one, and returns their statuses."""
    from actbench.cli.results import print_table

    paths = [store.latest(plan.cell.workload.name, plan.cell.key) for plan in planned]
    records = [read_record(path) for path in paths if path is not None]
    if as_json:
        print(json.dumps([record.model_dump(mode="json") for record in records], indent=1))
    elif records:
        print_table(records)
        for record in records:
            if record.status != "ok":
                _say(f"{record.cell.method.name} {record.cell.budget}: {record.status}: {record.reason}")
        _say(f"{len(records)} of {len(planned)} cells have a record in {store.folder}")
    return [record.status for record in records]


def _say(line: str) -> None:
    Console().print(escape(line), highlight=False, soft_wrap=True)


def _split(name: str, text: str) -> list[str]:
    parts = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not parts:
        raise UserError(f"{name} is empty: name at least one")
    return parts


def _last(text: str, track: str) -> int | None:
    if text == "all":
        return None
    if not text.isdigit() or text == "0":
        raise UserError(f"--last {text!r}: write a number of convolutions, or all")
    if track != "training":
        raise UserError("--last says what is trained: it goes with --track training")
    return int(text)


def _normalisation(text: str, track: str) -> Normalisation:
    if text not in get_args(Normalisation):
        raise UserError(f"--normalisation {text!r}: choose {', '.join(get_args(Normalisation))}")
    if text != "quantised" and track != "training":
        raise UserError("--normalisation says what training keeps: it goes with --track training")
    return cast(Normalisation, text)


def _seeds(text: str) -> tuple[int, ...]:
    parts = _split("--seeds", text)
    if not all(part.isdigit() for part in parts):
        raise UserError(f"--seeds {text!r}: write whole numbers, as in 0,1,2")
    return tuple(map(int, parts))


def parse_options(given: Sequence[str], registry: Registry) -> dict[str, dict[str, OptionValue]]:
    """`METHOD.NAME=VALUE` to values of the options' types."""
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
        parsed.setdefault(method, {})[name] = known[name].parse(value)
    return parsed
