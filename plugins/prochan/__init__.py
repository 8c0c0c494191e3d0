"""`prochan`: projection layers around the nonlinearity, folded into the convolutions on both sides."""

from collections.abc import Callable

from actbench import MethodInfo, Option, hookimpl


@hookimpl
def register_methods(register: Callable[[MethodInfo], None]) -> None:
    register(
        MethodInfo(
            name="prochan",
            title="ProChan: projected channels around the nonlinearity",
            target="actbench_plugins.prochan.method:ProChan",
            version="1",
            paper="Rossigneux, Kucher, Lorrain, Casseau, ICCV Workshops 2023 (form derived from the abstract)",
            learnable=True,
            options=(
                Option(
                    "start",
                    "selection",
                    "where the projection starts",
                    ("selection", "pca", "orthonormal", "default"),
                ),
            ),
        )
    )
