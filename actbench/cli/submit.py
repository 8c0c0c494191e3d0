"""`actbench submit`: records into a checkout of the leaderboards, for a pull request."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from actbench.cli.plugins import registered
from actbench.errors import UserError


def submit(
    records: Annotated[list[Path], typer.Argument(help="Files of records, or folders of them.")],
    to: Annotated[Path, typer.Option(help="The leaderboards' folder in a checkout of the repository.")],
) -> None:
    """Check records and lay them out for a pull request. What is there already is not changed."""
    from actbench.leaderboard.submit import lay_out

    if not to.is_dir():
        raise UserError(f"--to {to}: no such folder; give the leaderboards/ of a checkout")
    done = lay_out(records, to, registered(None).methods)
    say = Console(soft_wrap=True, highlight=False).print
    for path in done.added:
        say(f"added {path}", markup=False)
    for path in done.present:
        say(f"{path} is there already", markup=False)
    say(f"{len(done.added)} records for a pull request; then: actbench publish --results {to} --out {to}", markup=False)
