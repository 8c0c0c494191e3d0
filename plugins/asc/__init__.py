"""`asc`: blocks as two end points and indices between them, as in texture compression."""

from collections.abc import Callable

from actbench import MethodInfo, hookimpl


@hookimpl
def register_methods(register: Callable[[MethodInfo], None]) -> None:
    register(
        MethodInfo(
            name="asc",
            title="ASC: end points and interpolation in blocks",
            target="actbench_plugins.asc.method:EndPoints",
            version="1",
            tracks=("inference", "training"),
            paper="after Yao, Chang, 2023, arXiv 2312.08176 (definition ours)",
            learnable=True,
        )
    )
