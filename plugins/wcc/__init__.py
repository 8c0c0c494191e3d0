"""`wcc`: wavelet compressed convolution, joint top-k of Haar coefficients."""

from collections.abc import Callable

from actbench import MethodInfo, Option, hookimpl


@hookimpl
def register_methods(register: Callable[[MethodInfo], None]) -> None:
    register(
        MethodInfo(
            name="wcc",
            title="WCC: joint top-k of Haar wavelet coefficients",
            target="actbench_plugins.wcc.method:WaveletCompression",
            version="2",
            tracks=("inference", "training"),
            paper="Finder, Zohav, Ashkenazi, Treister, NeurIPS 2022, arXiv 2205.12268",
            learnable=True,
            recipe="the rate is lowered gradually",
            options=(
                Option("levels", 3, "levels of the transform, at most; small maps take fewer", tuple(range(9))),
                Option("wavelet", "haar", "haar, another discrete wavelet of PyWavelets (db2, bior2.2, …), or none"),
                Option(
                    "selection",
                    "joint",
                    "positions kept: joint over channels, for each channel, the coarsest, or random ones",
                    ("joint", "channel", "low", "random"),
                ),
                Option(
                    "where",
                    "all",
                    "every map, or those that only 1×1 convolutions read; the others are plain then",
                    ("all", "pointwise"),
                ),
                Option(
                    "schedule", "planned", "in recovery: the planned rate, or lowered to it", ("planned", "gradual")
                ),
            ),
        )
    )
