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
            version="2",
            paper="after Rossigneux, Kucher, Lorrain, Casseau, ICCV Workshops 2023 (form derived from the abstract)",
            learnable=True,
            options=(
                Option(
                    "start",
                    "selection",
                    "where the projection starts",
                    ("selection", "pca", "orthonormal", "default"),
                ),
                Option(
                    "insertion", "together", "codecs from the first step on, or map by map", ("together", "sequential")
                ),
                Option(
                    "trained", "everything", "the whole network, or projections alone", ("everything", "projections")
                ),
                Option(
                    "loss",
                    "task",
                    "the task's, with distillation of the fp32 network's outputs, or the error of every map",
                    ("task", "distillation", "layers"),
                ),
                Option(
                    "normalisation", "frozen", "statistics kept, or adapting while training", ("frozen", "adapting")
                ),
            ),
        )
    )
