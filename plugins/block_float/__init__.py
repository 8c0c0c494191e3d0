"""`block-float`: integers in blocks of channels that share an exponent."""

from collections.abc import Callable

from actbench import MethodInfo, hookimpl


@hookimpl
def register_methods(register: Callable[[MethodInfo], None]) -> None:
    register(
        MethodInfo(
            name="block-float",
            title="Block floating point",
            target="actbench_plugins.block_float.method:BlockFloat",
            version="1",
            tracks=("inference", "training"),
            paper="Wilkinson 1963; Drumond, Lin, Jaggi, Falsafi, NeurIPS 2018, arXiv 1804.01526",
            learnable=True,
        )
    )
