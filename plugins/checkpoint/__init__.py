"""`checkpoint` and `offload`: what torch itself offers to keep less for backward, without losing anything."""

from collections.abc import Callable

from actbench import MethodInfo, Option, hookimpl


@hookimpl
def register_methods(register: Callable[[MethodInfo], None]) -> None:
    register(
        MethodInfo(
            name="checkpoint",
            title="Activation checkpointing (torch.utils.checkpoint)",
            target="actbench_plugins.checkpoint.method:Checkpointing",
            version="1",
            tracks=("training",),
            paper="Chen et al. 2016, arXiv 1604.06174",
            role="reference",
            options=(Option("segments", 0, "parts whose inputs alone are kept; 0: the root of the number of layers"),),
        )
    )
    register(
        MethodInfo(
            name="offload",
            title="Saved tensors in main memory (save_on_cpu)",
            target="actbench_plugins.checkpoint.method:Offloading",
            version="1",
            tracks=("training",),
            role="reference",
        )
    )
