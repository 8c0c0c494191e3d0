"""`nvfp4`: numbers of 4 bits in blocks of 16 channels, with scales of 8 bits and one for the whole map."""

from collections.abc import Callable

from actbench import MethodInfo, Option, hookimpl


@hookimpl
def register_methods(register: Callable[[MethodInfo], None]) -> None:
    register(
        MethodInfo(
            name="nvfp4",
            title="NVFP4: E2M1 in blocks of 16 with E4M3 scales",
            target="actbench_plugins.nvfp4.method:Nvfp4",
            version="1",
            tracks=("inference", "training"),
            paper="NVIDIA, Introducing NVFP4 for Efficient and Accurate Low-Precision Inference, 2025",
            learnable=True,
            options=(Option("scale", "static", "a map's scale: calibrated, or each image's own", ("static", "image")),),
        )
    )
