"""Lossless codes for quantised maps with many zeros: `zvc`, `rle`, `csc`, `ebpc`, `seg`."""

from collections.abc import Callable

from actbench import MethodInfo, Option, hookimpl

_CODES = {
    "zvc": ("zero-value compression", "ZeroValueCoding", "Rhu et al., HPCA 2018, arXiv 1705.01626"),
    "rle": ("zero run-length coding", "RunLengthCoding", "as in Cavigelli et al., arXiv 1810.03979"),
    "csc": ("sparse columns with relative indices", "SparseColumnCoding", "Han et al., ISCA 2016, arXiv 1602.01528"),
    "ebpc": ("extended bit-plane compression", "BitPlaneCoding", "Cavigelli et al., JETCAS 2019, arXiv 1908.11645"),
    "seg": ("sparse exponential Golomb coding", "ExponentialGolombCoding", "Georgiadis, CVPR 2019, arXiv 1812.04056"),
}

_PLANE = Option("plane", "ours", "the plane kept as it is: the highest, or the authors' lowest", ("ours", "authors"))


@hookimpl
def register_methods(register: Callable[[MethodInfo], None]) -> None:
    for name, (title, target, paper) in _CODES.items():
        register(
            MethodInfo(
                name=name,
                title=f"{name.upper()}: {title}",
                target=f"actbench_plugins.coding.method:{target}",
                version="2",
                tracks=("inference", "training"),
                paper=paper,
                guarantee="data-dependent",
                learnable=True,
                options=(_PLANE,) if name == "ebpc" else (),
            )
        )
