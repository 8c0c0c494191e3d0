"""`actbench new-method` and `new-workload`: a package to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

Name = Annotated[str, typer.Argument(help="Lower-case words with hyphens between them.")]
Parent = Annotated[Path, typer.Option("--dir", help="Where the package's folder is made.")]


def new_method(name: Name, parent: Parent = Path()) -> None:
    """Write a package with a working method, its tests and a workflow."""
    _write("method", name, parent)


def new_workload(name: Name, parent: Parent = Path()) -> None:
    """Write a package with a working workload, its tests and a workflow."""
    _write("workload", name, parent)


def _write(template: Literal["method", "workload"], name: str, parent: Path) -> None:
    from actbench.scaffold.write import write_package

    written = write_package(template, name, parent)
    folder = parent / f"actbench-{name}"
    say = Console(soft_wrap=True, highlight=False).print
    for path in written:
        say(str(path), markup=False)
    run = f"--methods {name}" if template == "method" else f"--workload {name} --methods all"
    say(f'next: cd {folder} && pip install -e ".[test]" && pytest && actbench run {run} --ceilings 4x,8x', markup=False)
