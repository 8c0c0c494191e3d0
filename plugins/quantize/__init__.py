"""`quantize`: bits alone, no method. The baseline of every table."""

from collections.abc import Callable

from actbench import MethodInfo, hookimpl


@hookimpl
def register_methods(register: Callable[[MethodInfo], None]) -> None:
    register(
        MethodInfo(
            name="quantize",
            title="Plain quantisation",
            target="actbench_plugins.quantize.method:Quantize",
            version="1",
            tracks=("inference", "training"),
            paper="clip learned in the open division: PACT, Choi et al. 2018, arXiv 1805.06085",
            learnable=True,
            role="baseline",
        )
    )
