"""What actbench lists of `mean-residual`. Nothing heavy is imported here: the class is loaded when it is run."""

from actbench import MethodInfo, Option, hookimpl

actbench_api = 2


@hookimpl
def register_methods(register):
    register(
        MethodInfo(
            name="mean-residual",
            title="mean-residual: one scale an image",
            target="actbench_mean_residual.method:MeanResidual",
            version="1",
            options=(Option("narrowest", 2, "bits of the narrowest code that may be chosen"),),
        )
    )
