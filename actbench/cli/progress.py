"""What is shown while cells are measured: how many are done, the current one and its step, and the time left by what
cells like those that are left took."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from time import monotonic
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text
from typing_extensions import Self, override

from actbench.cli.results import style_of
from actbench.harness.durations import Durations, in_words, kinds_of
from actbench.harness.run import RunObserver
from actbench.records.columns import column
from actbench.records.record import Record
from actbench.spec import CellSpec
from actbench.text import visible

_ESTIMATE = 1.0
"""Seconds for which an estimate of the time that is left stands: of many cells it is a sum of many."""


class ProgressBar(RunObserver, AbstractContextManager["ProgressBar"]):
    """A bar on standard error, so that standard output stays the result. `durations`: what cells took before."""

    def __init__(self, cells: Sequence[CellSpec], console: Console, durations: Durations | None = None) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}", markup=False),
            console=console,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),  # or what goes into a file would be on the terminal
            disable=not console.is_terminal,
        )
        self._console = console
        self._waiting = {cell.key: kinds_of(cell) for cell in cells}
        self._durations = durations or Durations()
        self._cell = ""
        self._began = monotonic()
        self._estimated, self._estimate = 0.0, ""
        self._task = self._progress.add_task("starting", total=len(cells), left=self._left())

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    @override
    def started(self, cell: CellSpec) -> None:
        self._cell, self._began = f"{cell.method.name} {cell.budget}", monotonic()
        self._progress.update(self._task, description=visible(self._cell), left=self._left())

    @override
    def step(self, step: str, done: int, total: int) -> None:
        counted = f" {done}/{total}" if total else ""
        self._progress.update(self._task, description=visible(f"{self._cell}: {step}{counted}"), left=self._left())

    @override
    def ended(self, record: Record, path: Path) -> None:
        self._durations.add(record)
        self.passed_over(record.key)

    @override
    def elsewhere(self, cell: CellSpec) -> None:
        self.passed_over(cell.key)

    def passed_over(self, key: str) -> None:
        """A cell is done, or will not be measured."""
        self._waiting.pop(key, None)
        self._progress.update(self._task, advance=1, left=self._left())

    def _left(self) -> str:
        """Of all cells that are not done, less what the present one has had; nothing where no cell is known."""
        if (now := monotonic()) - self._estimated > _ESTIMATE and not self._progress.disable:
            seconds = self._durations.sum(self._waiting.values()) if self._waiting else None
            had = now - self._began if self._cell else 0.0
            self._estimate = "" if seconds is None else f"about {in_words(max(seconds - had, 1))} left"
            self._estimated = now
        return self._estimate


class RunProgress(ProgressBar):
    """The bar of a run, which says each cell in a line when it ended. `ended_any`: whether one did."""

    def __init__(self, cells: Sequence[CellSpec], console: Console, durations: Durations | None = None) -> None:
        super().__init__(cells, console, durations)
        self.ended_any = False

    @override
    def ended(self, record: Record, path: Path) -> None:
        super().ended(record, path)
        self.ended_any = True
        self._console.print(_line(record), highlight=False, soft_wrap=True)


def _line(record: Record) -> Text:
    """How a cell ended, with its quality where that was measured."""
    cell = record.cell
    line = Text(visible(f"{cell.method.name} {cell.budget}: "))
    line.append(record.status, style_of(record.status))
    return line.append(visible(f", {_quality(record)}{record.seconds:.1f} s"))


def _quality(record: Record) -> str:
    metric, value, difference = (column(name) for name in ("metric", "quality", "difference"))
    if value.value(record) is None:
        return ""
    return f"{metric.text(record)} {value.text(record)}, {difference.title} {difference.text(record)}, "
