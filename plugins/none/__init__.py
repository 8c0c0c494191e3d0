"""`none`: every map in fp32, the reference that all other rows are compared with. `mechanism`: what the layers of the
training track save whatever the method."""

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
    register(
        MethodInfo(
            name="mechanism",
            title="The mechanism alone: masks, 8-bit normalisations, inputs in fp32",
            target="actbench_plugins.none.method:Mechanism",
            version="1",
            tracks=("training",),
            role="reference",
        )
    )
