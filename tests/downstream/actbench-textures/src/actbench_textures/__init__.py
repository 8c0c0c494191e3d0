"""What actbench lists of `textures`. Nothing heavy is imported here: the class is loaded when it is run."""

from actbench import UserError, WorkloadInfo, hookimpl

actbench_api = 2


@hookimpl
def register_workloads(register):
    register(
        WorkloadInfo(
            name="textures",
            title="textures: a small network on two textures",
            target="actbench_textures.workload:Textures",
            identify="actbench_textures:identify",
            metric="top-1",
            unit="%",
            reference_point=50.0,  # chance level: 100 % / classes
        )
    )


def identify(data, weights):
    """What the cells of this workload are made of, as digests: two records with other digests are not compared."""
    if data is not None or weights is not None:
        raise UserError("workload textures makes its own images and weights: leave --data and --weights out")
    return {"data": "textures:1", "weights": "seed:0"}
