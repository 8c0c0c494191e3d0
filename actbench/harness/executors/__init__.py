"""Executors: ways to carry out cells. One that carries out cells elsewhere has the same interface."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


class Executor(Protocol):
    """Carries out cells of one workload."""

    def run(self, preparation: Preparation, cells: Sequence[CellSpec], listener: Listener, timeout: float) -> None:
        """Runs every cell for at most `timeout` seconds, whatever happens to the ones before it.

        Raises UserError where the workload cannot be loaded.
        """
