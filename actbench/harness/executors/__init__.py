"""Executors: ways to carry out cells. One that carries out cells elsewhere has the same interface."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from actbench.harness.messages import Preparation
from actbench.spec import CellSpec

if TYPE_CHECKING:
    from actbench.records.record import Status


@dataclass(frozen=True)
class CellResult:
    """How a cell ended: the outcome that the worker sent, or why none came."""

    cell: CellSpec
    status: Status
    reason: str = ""
    started: str = ""
    seconds: float = 0.0
    measurements: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] | None = None
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Listener:
    """Functions that are told of a run: a cell starts, a step of it is under way, it ended.
    `ended` is called the moment it did."""

    started: Callable[[CellSpec], None]
    step: Callable[[str, int, int], None]
    ended: Callable[[CellResult], None]


@dataclass(frozen=True)
class Places:
    """Where cells are carried out: by so many `workers`, None for as many as the executor has by itself, or by those of
    a `scheduler`, an address."""

    workers: int | None = None
    scheduler: str = ""


Cells = Iterable[CellSpec | None]
"""Cells to carry out. One is claimed when it is taken, which is for when there is somebody to run it. None: what is
left is claimed by other runs, and some of it may come later."""

PAUSE = 1.0
"""Seconds after which to ask again for what is claimed by other runs."""


class Executor(Protocol):
    """Carries out cells of one workload."""

    def __init__(self, places: Places) -> None: ...

    def run(self, preparation: Preparation, cells: Cells, listener: Listener, timeout: float) -> None:
        """Runs every cell for at most `timeout` seconds, whatever happens to the ones before it.

        Raises UserError where the workload cannot be loaded.
        """
