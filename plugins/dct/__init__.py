"""`dct`: the DCT over groups of channels, low frequencies kept, zero-value coding."""

from collections.abc import Callable

from actbench import MethodInfo, Option, hookimpl


@hookimpl
def register_methods(register: Callable[[MethodInfo], None]) -> None:
    register(
        MethodInfo(
            name="dct",
            title="DCT-CM: DCT over channels with masks, and zero-value coding",
            target="actbench_plugins.dct.method:ChannelDCT",
            version="2",
            tracks=("inference", "training"),
            paper="after Shi et al., ISCAS 2021, arXiv 2106.12850 (definition ours)",
            guarantee="data-dependent",
            learnable=True,
            options=(
                Option("group", 8, "channels in a group, at most; 0 for all", choices=(0, 8, 16, 32)),
                Option("bitmap", "kept", "which coefficients have a bit in the bit-map", choices=("kept", "all")),
                Option("reorder", False, "order the channels by correlation first"),
            ),
        )
    )
