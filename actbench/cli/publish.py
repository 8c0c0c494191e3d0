"""`actbench publish`: records as leaderboards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from actbench.errors import UserError
from actbench.registry import load_plugins

if TYPE_CHECKING:
    from actbench.records.conformance import Conformance
    from actbench.records.record import Record
    from actbench.records.verification import Verification


def publish(
    results: Annotated[list[Path] | None, typer.Option(help="A folder of records; may be repeated.")] = None,
    out: Annotated[Path, typer.Option(help="Where the leaderboards are written.")] = Path("leaderboards"),
) -> None:
    """Write leaderboards: pages that open without a network, Markdown, CSV, JSON, and the records behind them."""
    from actbench.leaderboard.frame import load_records, load_verifications
    from actbench.leaderboard.publish import publish as write
    from actbench.records.conformance import load_conformance

    records: dict[str, Record] = {}
    verifications: dict[str, Verification] = {}
    conformance: dict[str, Conformance] = {}
    for folder in results or [Path("results")]:
        if folder.resolve() == out.resolve():
            continue  # what is there is published anyway
        records |= {record.key: record for record in load_records(folder)}
        verifications |= load_verifications(folder)
        conformance |= load_conformance(folder)
    methods = load_plugins(()).methods
    anchors = [info.name for info in methods.values() if info.role == "baseline"]
    try:
        done = write(list(records.values()), out, anchors[0] if anchors else "", methods, verifications, conformance)
    except OSError as error:
        raise UserError(f"cannot write into {out}: {error.strerror or error}") from error
    Console().print(
        f"{done.records} records of {done.workloads} workloads in {done.folder}: open {done.folder / 'index.html'}",
        highlight=False,
        soft_wrap=True,
    )
