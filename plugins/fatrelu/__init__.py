"""`fatrelu`: forced activation threshold, then zero-value coding."""

from collections.abc import Callable

from actbench import MethodInfo, Option, hookimpl


@hookimpl
def register_methods(register: Callable[[MethodInfo], None]) -> None:
    register(
        MethodInfo(
            name="fatrelu",
            title="FATReLU: thresholds, and zero-value coding",
            target="actbench_plugins.fatrelu.method:ThresholdedCoding",
            version="2",
            tracks=("inference", "training"),
            paper="Kurtz et al., ICML 2020",
            guarantee="data-dependent",
            learnable=True,
            options=(Option("hoyer", 0.0, "open division: the weight of the Hoyer regulariser of all maps"),),
        )
    )
