"""`codebook`: product quantisation over channels, with codebooks learned by k-means."""

from collections.abc import Callable

from actbench import MethodInfo, hookimpl


@hookimpl
def register_methods(register: Callable[[MethodInfo], None]) -> None:
    register(
        MethodInfo(
            name="codebook",
            title="Learned codebooks: product quantisation over channels",
            target="actbench_plugins.codebook.method:LearnedCodebooks",
            version="1",
            tracks=("inference", "training"),
            paper="ours, after Jégou, Douze, Schmid, TPAMI 2011",
            learnable=True,
        )
    )
