"""The command that measures a cell again."""

from __future__ import annotations

import shlex

from actbench.spec import CellSpec
from actbench.workloads.own.description import RANDOM, arguments_of


def command_of(cell: CellSpec) -> str:
    """The command that measures a cell again, for a shell: what a record says stays one word."""
    method, workload = cell.method, cell.workload
    described = ["--workload", workload.name] if workload.own is None else arguments_of(workload.name, workload.own)
    parts = ["actbench", "run", *described, "--methods", method.name]
    parts += ["--weights", RANDOM] if workload.digests.get("weights") == RANDOM else []
    if not cell.is_reference:
        parts += ["--ceilings", str(cell.budget.ceiling), "--bits", str(cell.budget.bits)]
    parts += cell.settings.arguments()
    parts += ["--seeds", str(cell.seed)] if cell.seed else []
    parts += ["--limit", str(workload.limit)] if workload.limit else []
    for name, value in method.options.items():
        parts += ["--option", f"{method.name}.{name}={value}"]
    return shlex.join([*parts, "--device", cell.device])
