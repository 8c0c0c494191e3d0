"""`float-lossless`: floating-point maps with their exponents entropy coded."""

from collections.abc import Callable

from actbench import MethodInfo, hookimpl


@hookimpl
def register_methods(register: Callable[[MethodInfo], None]) -> None:
    register(
        MethodInfo(
            name="float-lossless",
            title="Floating point, exponents entropy coded",
            target="actbench_plugins.float_lossless.method:FloatCoding",
            version="1",
            paper="after DietGPU, Johnson 2022, github.com/facebookresearch/dietgpu",
            guarantee="data-dependent",
        )
    )
