"""`topk`: of each image's saved activation the largest values, and a bit mask."""

from collections.abc import Callable

from actbench import MethodInfo, Option, hookimpl


@hookimpl
def register_methods(register: Callable[[MethodInfo], None]) -> None:
    register(
        MethodInfo(
            name="topk",
            title="Top-k: the largest values of each image and a bit mask",
            target="actbench_plugins.topk.method:TopK",
            version="1",
            paper="after BackRazor (Jiang et al., NeurIPS 2022)",
            tracks=("training",),
            options=(Option("values", "codes", "values in codes, or as in the paper", ("codes", "fp32")),),
        )
    )
