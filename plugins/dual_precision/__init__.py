"""`dual-precision`: saved activations as means over blocks, and what these leave in narrow codes."""

from collections.abc import Callable

from actbench import MethodInfo, Option, hookimpl


@hookimpl
def register_methods(register: Callable[[MethodInfo], None]) -> None:
    register(
        MethodInfo(
            name="dual-precision",
            title="DIVISION: block means in wide codes, the rest in narrow ones",
            target="actbench_plugins.dual_precision.method:DualPrecision",
            version="1",
            paper="after DIVISION (Wang et al., ICML 2023)",
            tracks=("training",),
            options=(
                Option("block", 8, "positions along a side of the blocks whose means are stored"),
                Option("means", "codes", "means in codes of the widest width, or as in the paper", ("codes", "fp32")),
            ),
        )
    )
