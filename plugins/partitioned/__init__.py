"""`memory-budget` and `torch-fp8`: what the partitioner of torch.compile offers to keep less for backward."""

from collections.abc import Callable

from actbench import MethodInfo, Option, hookimpl


@hookimpl
def register_methods(register: Callable[[MethodInfo], None]) -> None:
    register(
        MethodInfo(
            name="memory-budget",
            title="The compiler's activation memory budget (torch.compile)",
            target="actbench_plugins.partitioned.method:MemoryBudget",
            version="1",
            tracks=("training",),
            role="reference",
            options=(Option("budget", 0.5, "share, 0 to 1, of what the compiler would keep without a budget"),),
        )
    )
    register(
        MethodInfo(
            name="torch-fp8",
            title="The compiler's activation quantisation to 8-bit floats (torch.compile)",
            target="actbench_plugins.partitioned.method:Float8",
            version="1",
            tracks=("training",),
            role="reference",
            options=(Option("format", "e5m2", "8-bit float of what is kept", ("e5m2", "e4m3fn")),),
        )
    )
