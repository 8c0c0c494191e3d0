"""`pca`: transform coding: rotation to principal components, one step, an entropy coder."""

from collections.abc import Callable

from actbench import MethodInfo, hookimpl


@hookimpl
def register_methods(register: Callable[[MethodInfo], None]) -> None:
    register(
        MethodInfo(
            name="pca",
            title="PCA transform coding: principal components, one step, an entropy coder",
            target="actbench_plugins.pca.method:TransformCoding",
            version="2",
            paper="after Chmiel et al., arXiv 1905.10830",
            tracks=("inference", "training"),
            guarantee="data-dependent",
            learnable=True,
        )
    )
