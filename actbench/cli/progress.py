"""What a run shows while it runs: cells done, the current cell and its step, the time left; one line a cell where
nobody watches."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text
from typing_extensions import override

from actbench.harness.run import RunObserver
from actbench.spec import CellSpec
from actbench.text import visible

if TYPE_CHECKING:
    from actbench.records.record import Record


class ProgressBar(RunObserver, AbstractContextManager["ProgressBar"]):
    """A bar on standard error, so that standard output stays the result."""

    def __init__(self, cells: int, console: Console) -> None:
        self.records: list[Record] = []
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._console = console
        self._task = self._progress.add_task("starting", total=cells)
        self._cell = ""

    def __enter__(self) -> ProgressBar:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    @override
    def started(self, cell: CellSpec) -> None:
        self._cell = f"{cell.method.name} {cell.budget}"
        self._progress.update(self._task, description=visible(self._cell))

    @override
    def step(self, step: str, done: int, total: int) -> None:
        counted = f" {done}/{total}" if total else ""
        self._progress.update(self._task, description=visible(f"{self._cell}: {step}{counted}"))

    @override
    def ended(self, record: Record, path: Path) -> None:
        self.records.append(record)
        self._progress.advance(self._task)
        if not self._console.is_terminal:
            cell = record.cell
            line = f"{cell.method.name} {cell.budget}: {record.status} ({record.seconds:.1f} s)"
            self._console.print(Text(visible(line)), highlight=False, soft_wrap=True)
