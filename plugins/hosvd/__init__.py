"""`hosvd`, `svd`, `subspace`: truncated decompositions of each image's map, with the factors stored."""

from collections.abc import Callable

from actbench import MethodInfo, Option, hookimpl

_METHODS = {
    "hosvd": (
        "HOSVD: truncated higher-order SVD of each image",
        "HigherOrderSVD",
        "after Nguyen et al., NeurIPS 2024, arXiv 2411.06346 (there for training; at inference ours)",
    ),
    "svd": ("SVD: truncated singular value decomposition of each image", "ChannelSVD", "Eckart, Young, 1936"),
}

_SOLVER = Option("solver", "hosvd", "inference: factors of the truncated HOSVD, or improved by HOOI", ("hosvd", "hooi"))
_FACTORS = Option("factors", "codes", "training: core and factors in codes, or as in the papers", ("codes", "fp32"))


@hookimpl
def register_methods(register: Callable[[MethodInfo], None]) -> None:
    for name, (title, target, paper) in _METHODS.items():
        register(
            MethodInfo(
                name=name,
                title=title,
                target=f"actbench_plugins.hosvd.method:{target}",
                version="2",
                tracks=("inference", "training"),
                paper=paper,
                learnable=True,
                options=(
                    Option("epsilon", 0.0, "training: ranks by this share of each mode's variance; 0: by the ceiling"),
                    _FACTORS,
                    *((_SOLVER,) if name == "hosvd" else ()),
                ),
            )
        )
    register(
        MethodInfo(
            name="subspace",
            title="Subspace iteration: HOSVD of fixed ranks, from the step before",
            target="actbench_plugins.hosvd.method:SubspaceIteration",
            version="2",
            paper="after Nguyen et al., ICML 2025 (activation subspace iteration)",
            tracks=("training",),
            options=(_FACTORS,),
        )
    )
