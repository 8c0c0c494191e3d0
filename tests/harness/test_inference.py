"""Cells of the reference methods on `shapes`, measured in this process."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, get_args

import pytest
import torch

from actbench.budget import Bits, Budget, Ceiling
from actbench.errors import Unsupported
from actbench.feature_map import Maps
from actbench.harness import deployed
from actbench.harness.executors import CellResult
from actbench.harness.inference import Outcome, run_cell
from actbench.harness.run import to_record
from actbench.harness.turns import Turns
from actbench.harness.workbench import Workbench
from actbench.info import load_target
from actbench.network import batches
from actbench.registry import load_plugins
from actbench.settings import Inference
from actbench.spec import CellSpec, MethodSpec, WorkloadSpec
from actbench.workloads.base import WorkloadSettings

REGISTRY = load_plugins()


@pytest.fixture(scope="module")
def bench() -> Workbench:
    torch.set_num_threads(1)
    info = REGISTRY.workload("shapes")
    return Workbench(load_target(info.target)(WorkloadSettings(limit=100)), info, torch.device("cpu"))


def spec(method: str, ceiling: str, bits: str, recover: int = 0) -> CellSpec:
    budget = Budget(Ceiling.parse(ceiling), Bits.parse(bits))
    info = REGISTRY.method(method)
    return CellSpec(
        WorkloadSpec("shapes", {"data": "x"}, 100),
        MethodSpec(method, info.version, info.resolve({})),
        budget,
        Inference(recover, fit="off"),
    )


def measure(bench: Workbench, cell: CellSpec) -> Outcome:
    return run_cell(bench, cell, REGISTRY.method(cell.method.name), lambda step, done, total: None)


def measurements(bench: Workbench, cell: CellSpec) -> dict[str, Any]:
    outcome = measure(bench, cell)
    assert outcome.status == "ok", outcome
    assert outcome.warnings == []
    return outcome.measurements.model_dump()


def test_what_is_timed_is_alone_and_what_is_evaluated_is_not(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    class Noted(Turns):
        is_alone = False

        @contextmanager
        def alone(self) -> Iterator[None]:
            self.is_alone = True
            yield
            self.is_alone = False

    turns, seen = Noted(), dict[str, set[bool]]()

    def noting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*arguments: Any, **more: Any) -> Any:
            seen.setdefault(name, set()).add(turns.is_alone)
            return function(*arguments, **more)

        return noted

    for owner, name in ((deployed, "interleaved"), (deployed, "timed"), (bench, "scores")):
        monkeypatch.setattr(owner, name, noting(name, getattr(owner, name)))
    cell = spec("quantize", "4x", "w8a8")
    assert run_cell(bench, cell, REGISTRY.method("quantize"), lambda *_: None, turns).status == "ok"
    assert seen == {"scores": {False}, "timed": {True}, "interleaved": {True}}


def test_scores_and_losses_do_not_depend_on_the_batch(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, loss = bench.scores(bench.network.module), bench.planning(bench.network).loss({})
    monkeypatch.setattr(batches, "_CACHED", 30 * 32 * 64 * 64)
    other, sizes = Workbench(bench.workload, bench.info, bench.device), list[int]()
    handle = other.network.module.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    torch.testing.assert_close(other.scores(other.network.module), whole)
    other.scores(other.network.module, evaluation=bench.evaluation.spread(2))
    handle.remove()
    assert sizes == [30, 30, 30, 10, 2]
    assert other.planning(other.network).loss({}) == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize(
    ("method", "ceiling", "bits"),
    [
        *((method, "8x", "w8a2-8") for method in ("quantize", "prochan", "wcc")),
        *((method, "traffic:6x", "w4a2-8") for method in ("quantize", "prochan", "wcc")),
        ("greedy", "live:8x", "w8a2-8"),
        ("hosvd", "live:100KiB", "w8a2-8"),
        ("quantize", "peak:64KiB", "w8a2-8"),
    ],
)
def test_methods_hold_their_ceiling_and_make_a_valid_record(
    bench: Workbench, method: str, ceiling: str, bits: str
) -> None:
    cell = spec(method, ceiling, bits)
    outcome = measure(bench, cell)
    record = to_record(CellResult(cell, outcome.status, outcome.reason, "now", 1.0, outcome.to_json()["measurements"]))
    assert record.status == "ok", outcome
    footprint = record.measurements.footprint
    assert footprint is not None
    assert footprint.limit is not None
    stored, whole = footprint.counted(cell.budget.ceiling.kind)
    assert stored <= footprint.limit == cell.budget.ceiling.allowed(whole)
    assert sum(row.bits.maximum for row in footprint.maps) == footprint.traffic.maximum
    assert record.measurements.quality is not None
    assert record.measurements.quality.value > 70


def test_the_reference_changes_nothing(bench: Workbench) -> None:
    measured = measurements(bench, spec("none", "1x", "w32a32"))
    assert measured["quality"]["difference"] == 0
    assert measured["footprint"]["traffic"]["maximum"] == measured["footprint"]["reference_traffic"]
    assert measured["compute"]["macs"] == measured["compute"]["reference_macs"] == 62_801_152
    assert measured["compute"]["bit_operations"] == measured["compute"]["reference_bit_operations"]


def test_the_memory_of_a_gpu_is_that_of_all_that_is_held(bench: Workbench) -> None:
    """Each image adds to the peak what one image has there: beside it lie the network and the images."""
    measured = measurements(bench, spec("none", "1x", "w32a32"))
    predicted, module = measured["predicted_memory"], bench.reference.module
    tensors = [*module.parameters(), *module.buffers(), bench.latency_images]
    assert predicted["batch"] == 16
    held = sum(-(-4 * tensor.numel() // 512) * 512 for tensor in tensors)
    needed = held + 16 * measured["memory"]["peak_bytes"]
    assert needed <= predicted["allocated_bytes"] <= needed + (1 << 20)  # of a block that is not split
    assert predicted["allocated_bytes"] <= predicted["reserved_bytes"] <= needed + (20 << 20)
    assert predicted["largest_batch"]["8 GiB"] == pytest.approx((8 << 30) / measured["memory"]["peak_bytes"], rel=0.1)


def test_cells_of_both_conventions_share_a_bench(bench: Workbench) -> None:
    """Three blocks of the workload have a convolution in their skip: a branch waits for it, in fp32 or as a map."""
    live, inputs = (
        measurements(bench, replace(spec("quantize", "8x", "w8a4"), settings=Inference(maps=maps, fit="off")))[
            "footprint"
        ]
        for maps in get_args(Maps)
    )
    names = [[row["name"] for row in measured["maps"]] for measured in (live, inputs)]
    assert [name for name in names[0] if name not in names[1]] == ["add", "add_2", "add_4"]
    assert [name for name in names[0] if name in names[1]] == names[1]
    assert live["live"]["reference_peak"] == inputs["live"]["reference_peak"]
    assert live["live"]["peak"] * 8 == live["live"]["reference_peak"]
    assert inputs["live"]["peak"] * 8 > 3 * inputs["live"]["reference_peak"]


def test_folded_prochan_is_a_smaller_and_faster_network(bench: Workbench) -> None:
    measured = measurements(
        bench, replace(spec("prochan", "4x", "w32a32"), settings=Inference(stripe="off", fit="off"))
    )
    assert measured["compute"]["macs"] < 0.6 * measured["compute"]["reference_macs"]
    assert measured["parameters"]["deployed"] < measured["parameters"]["original"]
    assert measured["memory"]["peak_bytes"] < measured["memory"]["reference_peak_bytes"]
    assert measured["latency"]["ratio"] < 0.9


def test_wcc_convolves_what_is_stored(bench: Workbench) -> None:
    measured = measurements(bench, spec("wcc", "32x", "w8a2-8"))
    assert measured["compute"]["macs"] < measured["compute"]["macs_unfolded"]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["prochan", "wcc"])
def test_recovery_gains(bench: Workbench, method: str) -> None:
    closed, opened = (measurements(bench, spec(method, "16x", "w8a8", steps)) for steps in (0, 60))
    assert opened["quality"]["value"] > closed["quality"]["value"]
    assert opened["footprint"]["traffic"] == closed["footprint"]["traffic"]


def test_the_same_cell_gives_the_same_numbers(bench: Workbench) -> None:
    first, second = (measurements(bench, spec("prochan", "16x", "w8a2-8")) for _ in range(2))
    for part in ("quality", "footprint", "compute", "parameters", "memory", "predicted_memory"):
        assert first[part] == second[part]


def test_fixed_codes_that_do_not_fit_are_unsupported(bench: Workbench) -> None:
    outcome = measure(bench, spec("quantize", "8x", "w8a8"))
    assert outcome.status == "unsupported"
    assert "262144 bits at 8 bits a value; 196608 are allowed" in outcome.reason


@pytest.mark.parametrize(("error", "status"), [(MemoryError(), "oom"), (Unsupported(), "unsupported")])
def test_an_error_without_a_text_is_a_reason(
    error: Exception, status: str, bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr("actbench.harness.inference._measure", fails)
    outcome = measure(bench, spec("quantize", "8x", "w8a8"))
    assert (outcome.status, outcome.reason) == (status, type(error).__name__)
