"""`none`: every map in fp32. The reference that all other rows are compared with."""

from collections.abc import Callable

from actbench import MethodInfo, hookimpl


@hookimpl
def register_methods(register: Callable[[MethodInfo], None]) -> None:
    register(
        MethodInfo(
            name="none",
            title="No compression (fp32)",
            target="actbench_plugins.none.method:Uncompressed",
            version="1",
            tracks=("inference", "training"),
            learnable=True,
            role="reference",
        )
    )
