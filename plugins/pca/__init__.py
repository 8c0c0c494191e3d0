"""`pca`, `transform-coding`: rotation to principal components, one step, an entropy coder; and the DCT over space."""

from collections.abc import Callable

from actbench import MethodInfo, hookimpl

_METHODS = {
    "pca": (
        "PCA transform coding: principal components, one step, an entropy coder",
        "TransformCoding",
        "3",
        "after Chmiel et al., arXiv 1905.10830",
    ),
    "transform-coding": (
        "Transform coding over channels and space: principal components, DCT, one step, an entropy coder",
        "BlockTransformCoding",
        "1",
        "ours",
    ),
}


@hookimpl
def register_methods(register: Callable[[MethodInfo], None]) -> None:
    for name, (title, target, version, paper) in _METHODS.items():
        register(
            MethodInfo(
                name=name,
                title=title,
                target=f"actbench_plugins.pca.method:{target}",
                version=version,
                paper=paper,
                tracks=("inference", "training"),
                guarantee="data-dependent",
                learnable=True,
            )
        )
