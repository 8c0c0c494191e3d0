"""What a plugin may provide. A plugin is a module or an object with any of these, each marked `@actbench.hookimpl`."""

from __future__ import annotations

from collections.abc import Callable

import pluggy

from actbench.info import ExecutorInfo, MethodInfo, WorkloadInfo

API_VERSION = 2
"""Of hooks, `Method`, `Codec` and `Payload` together: `actbench_api = 2` in a plugin says which one it is for."""

hookspec = pluggy.HookspecMarker("actbench")
hookimpl = pluggy.HookimplMarker("actbench")


@hookspec
def register_methods(register: Callable[[MethodInfo], None]) -> None:
    """Call `register` once for each method."""


@hookspec
def register_workloads(register: Callable[[WorkloadInfo], None]) -> None:
    """Call `register` once for each workload."""


@hookspec
def register_executors(register: Callable[[ExecutorInfo], None]) -> None:
    """Call `register` once for each way to carry out cells."""
