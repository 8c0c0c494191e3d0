"""`mx`: microscaling formats, small numbers in blocks of 32 channels that share a power of two."""

from collections.abc import Callable

from actbench import MethodInfo, Option, hookimpl

_FORMATS = ("fp8_e4m3", "fp8_e5m2", "fp6_e3m2", "fp6_e2m3", "fp4_e2m1", "int8")


@hookimpl
def register_methods(register: Callable[[MethodInfo], None]) -> None:
    register(
        MethodInfo(
            name="mx",
            title="Microscaling formats (MX)",
            target="actbench_plugins.mx.method:Microscaling",
            version="1",
            tracks=("inference", "training"),
            paper="OCP Microscaling Formats (MX) v1.0, 2023; Rouhani et al., arXiv 2310.10537",
            learnable=True,
            options=(Option("format", "widest", "an element format, or the widest that fits", ("widest", *_FORMATS)),),
        )
    )
