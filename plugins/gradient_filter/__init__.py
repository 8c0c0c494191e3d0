"""`gradient-filter`: saved activations averaged over squares."""

from collections.abc import Callable

from actbench import MethodInfo, Option, hookimpl


@hookimpl
def register_methods(register: Callable[[MethodInfo], None]) -> None:
    register(
        MethodInfo(
            name="gradient-filter",
            title="Gradient filter: inputs averaged over squares",
            target="actbench_plugins.gradient_filter.method:GradientFilter",
            version="2",
            paper="after Yang, Li, Marculescu, CVPR 2023, arXiv 2301.00330",
            tracks=("training",),
            options=(Option("means", "codes", "means in codes, or as in the paper", ("codes", "fp32")),),
        )
    )
