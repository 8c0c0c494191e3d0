"""From requests to cells: their order, and what each of them is calibrated on."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from actbench.budget import Bits, Ceiling
from actbench.harness.schedule import RunRequest, cells_of
from actbench.registry import load_plugins
from actbench.spec import CellSpec

REGISTRY = load_plugins()


def cells(**more: Any) -> list[CellSpec]:
    ceilings, bits = (Ceiling.parse("8x"), Ceiling.parse("16x")), (Bits.parse("w8a8"),)
    return cells_of(RunRequest("shapes", ("wcc",), ceilings, bits, **more), REGISTRY)


def changes(values: Sequence[object]) -> int:
    return sum(one != other for one, other in pairwise(values))


def test_all_evaluation_images_are_used_unless_a_limit_is_given() -> None:
    assert {cell.workload.limit for cell in cells()} == {None}
    assert {cell.workload.limit for cell in cells(limit=64)} == {64}
    assert not {cell.key for cell in cells()} & {cell.key for cell in cells(limit=64)}


def test_the_seed_draws_calibration_images_but_for_the_reference() -> None:
    for cell in cells(seeds=(0, 3)):
        assert cell.calibration == (0 if cell.method.name == "none" else cell.seed)


def test_cells_of_a_seed_come_together() -> None:
    """Where a worker takes cells of all methods; on a GPU it takes those of one, and no seed twice."""
    on_cpu, on_gpu = cells(seeds=(0, 1, 2)), cells(seeds=(0, 1, 2), device="cuda")
    assert changes([cell.seed for cell in on_cpu]) == 2
    assert [cell.method.name for cell in on_cpu[:2]] == ["none", "quantize"]
    methods = [cell.method.name for cell in on_gpu]
    assert changes(methods) == len(set(methods)) - 1
    assert changes([(cell.method.name, cell.seed) for cell in on_gpu]) == 3 * len(set(methods)) - 1
    assert len({cell.key for cell in on_cpu}) == len(on_cpu)
