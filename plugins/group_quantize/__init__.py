"""`group-quantize`, `error-bound`: saved activations in groups of 256 values with a range and a width of their own."""

from collections.abc import Callable

from actbench import MethodInfo, Option, hookimpl

_METHODS = {
    "group-quantize": (
        "Group quantisation with stochastic rounding, widths of least variance",
        "GroupQuantization",
        "after ActNN (Chen et al., ICML 2021, arXiv 2104.14129) and GACT (Liu et al., ICML 2022, arXiv 2206.11357)",
    ),
    "error-bound": (
        "Group quantisation within an error bound that all groups share",
        "ErrorBound",
        "after AC-GC (Evans, Aamodt, NeurIPS 2021)",
    ),
}


@hookimpl
def register_methods(register: Callable[[MethodInfo], None]) -> None:
    for name, (title, target, paper) in _METHODS.items():
        register(
            MethodInfo(
                name=name,
                title=title,
                target=f"actbench_plugins.group_quantize.method:{target}",
                version="2",
                paper=paper,
                tracks=("training",),
                options=(Option("average", 0.0, "bits of a value at most, all told; 0: what the ceiling allows"),),
            )
        )
