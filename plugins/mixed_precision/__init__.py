"""`mixed-precision`: rotated channels in groups, each group with a width of its own."""

from collections.abc import Callable

from actbench import MethodInfo, Option, hookimpl


@hookimpl
def register_methods(register: Callable[[MethodInfo], None]) -> None:
    register(
        MethodInfo(
            name="mixed-precision",
            title="Mixed precision of rotated channels",
            target="actbench_plugins.mixed_precision.method:MixedPrecision",
            version="2",
            paper="after Tai et al., SiPS 2022, arXiv 2207.07931, and TCAD 2023 (choice of widths defined here)",
            learnable=True,
            options=(
                Option("groups", 8, "contiguous groups of channels that share a width, at most one a channel"),
                Option(
                    "widths",
                    "planned",
                    "in recovery: the planned widths, or learned ones in as many bits",
                    ("planned", "learned"),
                ),
            ),
        )
    )
