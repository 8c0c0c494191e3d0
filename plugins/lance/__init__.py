"""`lance`: saved activations in a fixed subspace, found once on calibration images."""

from collections.abc import Callable

from actbench import MethodInfo, Option, hookimpl


@hookimpl
def register_methods(register: Callable[[MethodInfo], None]) -> None:
    register(
        MethodInfo(
            name="lance",
            title="LANCE: the HOSVD's core in a subspace that is fixed on calibration images",
            target="actbench_plugins.lance.method:FixedSubspace",
            version="1",
            paper="after LANCE (Apolinario, Roy, 2025, arXiv 2509.21617)",
            tracks=("training",),
            options=(Option("core", "codes", "the core in codes, or as in the paper", ("codes", "fp32")),),
        )
    )
