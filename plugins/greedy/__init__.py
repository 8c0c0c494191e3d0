"""`greedy`: compression-aware projection, ranks allocated over the layers step by step."""

from collections.abc import Callable

from actbench import MethodInfo, Option, hookimpl


@hookimpl
def register_methods(register: Callable[[MethodInfo], None]) -> None:
    register(
        MethodInfo(
            name="greedy",
            title="Greedy compression-aware projection",
            target="actbench_plugins.greedy.method:GreedyProjection",
            version="3",
            paper="after Tai, Teng, Chang, Wu, ICASSP 2022, arXiv 2110.08828 (metric and allocation defined here)",
            learnable=True,
            recipe="projections learned, the network itself frozen",
            options=(
                Option(
                    "metric",
                    "error",
                    "which step is taken next under a traffic ceiling: most bits saved for the error predicted or for "
                    "the loss measured, the least reduced map, most energy left, or most bits saved",
                    ("error", "loss", "uniform", "energy", "bits"),
                ),
                Option(
                    "widths",
                    "planned",
                    "in recovery: planned ranks and widths, or learned ones in as many bits",
                    ("planned", "learned"),
                ),
            ),
        )
    )
