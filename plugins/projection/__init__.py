"""`projection`: learned projections along channels, folded into the layers that read the map."""

from collections.abc import Callable

from actbench import MethodInfo, Option, hookimpl


@hookimpl
def register_methods(register: Callable[[MethodInfo], None]) -> None:
    register(
        MethodInfo(
            name="projection",
            title="Improved projection learning along channels",
            target="actbench_plugins.projection.method:Projection",
            version="2",
            tracks=("inference", "training"),
            paper="Price, Tanner, 2022, arXiv 2210.15170",
            learnable=True,
            recipe="map by map, the network itself frozen, batch statistics adapting",
            options=(
                Option(
                    "start",
                    "pca",
                    "first projections: principal components (ours), or the default of nn.Linear (the paper's)",
                    ("pca", "default"),
                ),
            ),
        )
    )
