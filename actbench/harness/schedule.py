"""From what the user asks for to cells, and to what is left to do. No torch."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from actbench.budget import REFERENCE, Bits, Budget, Ceiling
from actbench.errors import UserError
from actbench.harness.messages import Preparation
from actbench.info import MethodInfo, OptionValue
from actbench.listing.identify import identify
from actbench.records.store import FAILED, Store, attempt, read_status
from actbench.registry import Registry
from actbench.settings import Inference, Settings
from actbench.spec import INFERENCE, CellSpec, Device, MethodSpec, WorkloadSpec
from actbench.workloads.own.description import Description

Chosen = tuple[MethodInfo, Mapping[str, OptionValue]]
"""A method, and the options that were given for it."""
INTEGER_BITS = 8
"""Weights and codes of more bits are convolved in fp32."""


@dataclass(frozen=True)
class Variant:
    """A method with some of its options given."""

    method: str
    options: Mapping[str, OptionValue] = field(default_factory=dict)


@dataclass(frozen=True)
class RunRequest:
    """What `actbench run` was asked for. `options` are for `methods`, by name; `variants` have their own. `own`: what
    describes the workload where it is none that is registered; data and weights are in it."""

    workload: str
    methods: tuple[str, ...]
    ceilings: tuple[Ceiling, ...]
    bits: tuple[Bits, ...]
    seeds: tuple[int, ...] = (0,)
    settings: Settings = INFERENCE
    device: Device = "cpu"
    data: Path | None = None
    weights: Path | None = None
    limit: int | None = None
    options: Mapping[str, Mapping[str, OptionValue]] = field(default_factory=dict)
    variants: tuple[Variant, ...] = ()
    own: Description | None = None

    def preparation(self, plugin_files: Sequence[Path], memory: int | None) -> Preparation:
        """What a worker needs to know of it. `memory`: bytes that a cell may take, None for most of what is free."""
        files = tuple(plugin_files)
        return Preparation(
            self.workload, self.device, self.data, self.weights, self.limit, files, memory=memory, own=self.own
        )


@dataclass(frozen=True)
class ScheduledCell:
    """A cell, and where it stands: `status` of the record that is there, None for one to run. `reason`: why a cell
    is known not to be supported before it runs. `attempt`: the number of the newest record, 0 where there is none."""

    cell: CellSpec
    status: str | None = None
    reason: str = ""
    attempt: int = 0


def cells_of(request: RunRequest, registry: Registry) -> list[CellSpec]:
    """All cells of a request; of each seed baselines first; the reference once a seed, the others at every ceiling and
    bits."""
    _check_arithmetic(request)
    workload = _workload(request, registry)
    cells = []
    for seed, (method, options) in _in_order(request, _methods(request, registry)):
        spec = MethodSpec(method.name, method.version, method.resolve(options))
        settings = request.settings.of_role(method.role)
        calibration = 0 if method.role == "reference" else seed
        for budget in _budgets(method, request):
            cell = CellSpec(workload, spec, budget, settings, seed, request.device, calibration=calibration)
            cells.append(cell)
    return list({cell.key: cell for cell in cells}.values())


def schedule(
    cells: Sequence[CellSpec], registry: Registry, store: Store, *, retry: bool = False, fresh: bool = False
) -> list[ScheduledCell]:
    """Which cells have a record already, which are to run, which no method supports. `retry`: also those that failed;
    `fresh`: all."""
    scheduled = []
    for cell, path in zip(cells, store.latest(cells), strict=True):
        status, number = (read_status(path), attempt(path)) if path is not None else (None, 0)
        if status is not None and not fresh and not (retry and status in FAILED):
            scheduled.append(ScheduledCell(cell, status, attempt=number))
        else:
            scheduled.append(ScheduledCell(cell, None, unsupported_reason(cell, registry), number))
    return scheduled


def unsupported_reason(cell: CellSpec, registry: Registry) -> str:
    """Why a method's registration alone rules a cell out; empty where it does not."""
    info = registry.method(cell.method.name)
    settings = cell.settings
    if settings.track not in info.tracks:
        return f"{info.name} has no {settings.track} track"
    if isinstance(settings, Inference) and settings.recover and not info.learnable:
        return f"{info.name} is not learnable: it has no open division"
    if isinstance(settings, Inference) and settings.recipe == "paper" and not info.recipe:
        return f"no published recipe of {info.name} is known: leave out --recipe paper"
    return ""


def _workload(request: RunRequest, registry: Registry) -> WorkloadSpec:
    """The workload with the digests of all that it is made of."""
    own = request.own
    if own is None:
        info = registry.workload(request.workload)
        digests = identify(info, request.data, request.weights, registry.files)
        return WorkloadSpec(info.name, digests, request.limit)
    if own.name in registry.workloads:
        raise UserError(f"--name {own.name} is a workload that is registered: choose another name")
    return WorkloadSpec(own.name, own.digests(), request.limit, own.canonical())


def _check_arithmetic(request: RunRequest) -> None:
    """Raises UserError where nothing can run in the integers that were asked for."""
    if not isinstance(request.settings, Inference) or request.settings.compute == "fp32":
        return
    for bits in request.bits:
        if max(bits.weights, bits.low) > INTEGER_BITS:
            raise UserError(f"--compute int8: weights and codes have at most {INTEGER_BITS} bits, and {bits} has more")
    if request.device != "cpu":
        raise UserError("--compute int8 runs on processors: add --device cpu")


def _in_order(request: RunRequest, methods: Sequence[Chosen]) -> list[tuple[int, Chosen]]:
    """Methods and seeds so that what cells share is made as seldom as can be: a worker keeps the statistics of one
    seed, and on a GPU each method has a worker of its own."""
    if request.device == "cpu":
        return [(seed, method) for seed in request.seeds for method in methods]
    return [(seed, method) for method in methods for seed in request.seeds]


def _methods(request: RunRequest, registry: Registry) -> list[Chosen]:
    """The track's baselines, what was asked for, each once, and the variants."""
    unknown_options = sorted(set(request.options) - set(registry.methods))
    if unknown_options:
        raise UserError(f"--option names method {unknown_options[0]!r}, which is not there")
    order = {"reference": 0, "baseline": 1, "method": 2}
    always = sorted(
        (info for info in registry.methods.values() if info.role != "method" and request.settings.track in info.tracks),
        key=lambda info: order[info.role],
    )
    asked = _asked(request, registry)
    named = {info.name: info for info in [*always, *asked]}.values()
    _check_options(request, named)
    variants = [(registry.method(variant.method), variant.options) for variant in request.variants]
    return [*((info, request.options.get(info.name, {})) for info in named), *variants]


def _check_options(request: RunRequest, named: Collection[MethodInfo]) -> None:
    """Raises UserError for options of a method that is not run."""
    names = {info.name for info in named}
    if unused := next((name for name in request.options if name not in names), None):
        raise UserError(f"--option {unused}.…: {unused} is not run; add it to --methods")


def _asked(request: RunRequest, registry: Registry) -> list[MethodInfo]:
    """The methods that were named; `all` are those of the track."""
    if request.methods == ("all",):
        return [info for info in registry.methods.values() if request.settings.track in info.tracks]
    return [registry.method(name) for name in request.methods]


def _budgets(method: MethodInfo, request: RunRequest) -> list[Budget]:
    if method.role == "reference":
        return [REFERENCE]
    ceilings = request.ceilings
    if request.settings.track == "training":
        # What training saves is one sum: there is no largest map to keep small.
        ceilings = tuple(dict.fromkeys(ceiling.summed() for ceiling in ceilings))
    return [Budget(ceiling, bits) for bits in request.bits for ceiling in ceilings]
