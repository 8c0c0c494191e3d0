"""`hadamard`: maps rotated over channels by a Hadamard matrix, in plain codes or in blocks."""

from collections.abc import Callable

from actbench import MethodInfo, Option, hookimpl


@hookimpl
def register_methods(register: Callable[[MethodInfo], None]) -> None:
    register(
        MethodInfo(
            name="hadamard",
            title="Hadamard rotation over channels",
            target="actbench_plugins.hadamard.method:HadamardRotation",
            version="1",
            tracks=("inference", "training"),
            paper="after QuaRot, Ashkboos et al., NeurIPS 2024, arXiv 2404.00456 (for feature maps: ours)",
            learnable=True,
            options=(
                Option("codes", "plain", "what rotated channels are stored in", ("plain", "mx", "block-float")),
                Option("block", 0, "channels that are rotated together, at most; 0: no limit", (0, 16, 32, 64, 128)),
                Option("signs", "random", "channels have random signs before they are rotated", ("random", "none")),
            ),
        )
    )
