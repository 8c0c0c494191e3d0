"""`actbench publish`: records as leaderboards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from actbench.cli.plugins import registered
from actbench.cli.tables import say
from actbench.errors import UserError

if TYPE_CHECKING:
    from actbench.leaderboard.publish import Published
    from actbench.records.conformance import Conformance
    from actbench.records.record import Record
    from actbench.records.skipped import Skipped
    from actbench.records.verification import Verification


def publish(
    results: Annotated[list[Path] | None, typer.Option(help="A folder of records; may be repeated.")] = None,
    out: Annotated[Path, typer.Option(help="Where the leaderboards are written.")] = Path("leaderboards"),
    readme: Annotated[
        Path | None, typer.Option(help="A file with marks, between which what was found is written, too.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 2 where a damaged file was left out.")] = False,
) -> None:
    """Write leaderboards: pages that open without a network, Markdown, CSV, JSON, and the records behind them."""
    from actbench.records.skipped import Skipped

    skipped = Skipped()
    try:
        done = _publish(results or [Path("results")], out, skipped, readme)
    except OSError as error:
        raise UserError(f"cannot write into {out}: {error.strerror or error}") from error
    finally:
        skipped.tell()
    say(f"{done.records} records of {done.workloads} workloads in {done.folder}: open {done.folder / 'index.html'}")
    if strict and skipped.reasons:
        raise typer.Exit(2)


def _publish(results: Sequence[Path], out: Path, skipped: Skipped, readme: Path | None) -> Published:
    from actbench.leaderboard.frame import load_verifications, readable
    from actbench.leaderboard.publish import publish as write
    from actbench.records.conformance import load_conformance
    from actbench.records.store import cells_below

    records: dict[str, Record] = {}
    verifications: dict[str, Verification] = {}
    conformance: dict[str, Conformance] = {}
    for folder in results:
        cells = cells_below(folder)
        if not cells:
            raise UserError(f"no records in {folder}: give a folder that `actbench run --results` or `publish` wrote")
        if folder.resolve() == out.resolve():
            continue  # what is there is published anyway
        records |= {record.key: record for _, record in readable(cells, skipped)}
        verifications |= load_verifications(folder, skipped)
        conformance |= load_conformance(folder, skipped)
    methods = registered(None).methods
    anchors = [info.name for info in methods.values() if info.role == "baseline"]
    anchor = anchors[0] if anchors else ""
    return write(list(records.values()), out, anchor, methods, verifications, conformance, skipped, readme)
