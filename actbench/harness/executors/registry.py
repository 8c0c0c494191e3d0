"""The executors that come with actbench."""

from __future__ import annotations

from collections.abc import Callable

from actbench.hookspecs import hookimpl
from actbench.info import ExecutorInfo


@hookimpl
def register_executors(register: Callable[[ExecutorInfo], None]) -> None:
    """Registers `local`, warm processes on this machine, and `dask`, those of a scheduler's workers."""
    register(ExecutorInfo("local", "Warm worker processes on this machine", "actbench.harness.executors.local:Local"))
    register(ExecutorInfo("dask", "Workers of a dask scheduler", "actbench.harness.executors.cluster:Dask"))
