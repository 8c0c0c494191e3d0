"""The executors that come with actbench."""

from __future__ import annotations

from collections.abc import Callable

from actbench.hookspecs import hookimpl
from actbench.info import ExecutorInfo


@hookimpl
def register_executors(register: Callable[[ExecutorInfo], None]) -> None:
    """Registers `local`: one warm process on this machine."""
    register(ExecutorInfo("local", "One warm worker process on this machine", "actbench.harness.executors.local:Local"))
