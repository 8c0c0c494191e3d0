"""One cell, from a method to measurements: plan, codecs in place, recover, deploy, check, measure."""

from __future__ import annotations

import traceback
from dataclasses import asdict
from typing import Any, cast

import torch

from actbench.budget import REFERENCE
from actbench.codec.method import Method, Plan
from actbench.errors import InvalidCodec, Unsupported
from actbench.harness.outcome import Outcome, Progress
from actbench.harness.training import measure_training
from actbench.harness.workbench import LATENCY_BATCH, Workbench
from actbench.info import MethodInfo, load_target
from actbench.measure.compute import bit_operations, count
from actbench.measure.footprint import Meter, check_payloads, describe_footprint
from actbench.measure.latency import Stopwatch, interleaved
from actbench.measure.quality import paired_bootstrap
from actbench.network.conventions import activation_bits, live_peak
from actbench.network.deploy import deploy
from actbench.network.splice import Spliced, splice
from actbench.recovery.train import recover
from actbench.spec import CellSpec

_NO_MEMORY = "can't allocate memory"
"""How torch's allocator on the CPU says it, in a RuntimeError."""

CHECKED_IMAGES = 4
"""Images whose payloads are packed, unpacked and decoded."""


def run_cell(bench: Workbench, cell: CellSpec, info: MethodInfo, progress: Progress) -> Outcome:
    """Measures one cell. Whatever goes wrong is an outcome, with what had been measured until then."""
    outcome = Outcome()
    try:
        if cell.track == "training":
            measure_training(bench, cell, info, progress, outcome)
        else:
            _measure(bench, cell, info, progress, outcome)
    except Unsupported as error:
        outcome.status, outcome.reason = "unsupported", _one_line(error)
    except InvalidCodec as error:
        outcome.status, outcome.reason = "invalid", _one_line(error)
    except (MemoryError, torch.OutOfMemoryError) as error:
        outcome.status, outcome.reason = "oom", _one_line(error)
    except Exception as error:
        if _NO_MEMORY in str(error):
            outcome.status, outcome.reason = "oom", _one_line(error)
            return outcome
        outcome.status, outcome.reason = "crash", f"{type(error).__name__}: {_one_line(error)} ({_place(error)})"
        outcome.warnings.append(traceback.format_exc(limit=-6))
    return outcome


def _measure(bench: Workbench, cell: CellSpec, info: MethodInfo, progress: Progress, outcome: Outcome) -> None:
    torch.manual_seed(cell.seed)
    spliced, plan = _compress(bench, cell, info, progress, outcome.measurements)
    outcome.warnings += plan.notes
    progress("deploy", 0, 0)
    deployed = deploy(spliced, cell.budget.bits.weights, bench.image)
    progress("check", 0, 0)
    images = bench.evaluation.images(slice(0, CHECKED_IMAGES)).to(bench.device)
    check_payloads(deployed, images, images.flip((2, 3)))
    with Meter(deployed) as meter:
        scores = bench.scores(deployed.module, lambda done, total: progress("evaluate", done, total))
    parts = outcome.measurements
    parts["footprint"] = _footprint(bench, cell, spliced, meter)
    parts["quality"] = _quality(bench, scores)
    progress("measure", 0, 0)
    parts["compute"] = _compute(bench, cell, spliced, deployed, meter)
    parts["parameters"] = _parameters(bench, spliced, deployed)
    parts["latency"] = _latency(bench, deployed)
    parts["memory"] = _memory(bench, deployed)
    _judge(cell, info, parts["footprint"], outcome)


def _compress(
    bench: Workbench, cell: CellSpec, info: MethodInfo, progress: Progress, measured: dict[str, Any]
) -> tuple[Spliced, Plan]:
    """The network with the method's codecs in place, recovered where the division allows it."""
    progress("plan", 0, 0)
    method = cast(Method, load_target(info.target)(cell.method.options))
    plan = method.plan(bench.planning, bench.statistics, cell.budget)
    _check_plan(bench, plan)
    spliced = splice(bench.network, plan.codecs)
    spliced.module.to(bench.device).eval()
    if cell.recover:
        steps, recipe = cell.recover, method.recipe(cell.recipe)
        losses = recover(
            spliced,
            bench.network,
            bench.workload,
            steps,
            cell.seed,
            bench.device,
            lambda step: progress("recover", step, steps),
            recipe,
        )
        measured["recovery"] = {"recipe": asdict(recipe), "losses": losses}
    return spliced, plan


def _check_plan(bench: Workbench, plan: Plan) -> None:
    unknown = sorted(set(plan.codecs) - {fmap.name for fmap in bench.network.maps})
    if unknown:
        raise InvalidCodec(f"the plan names a feature map that the network does not have: {unknown[0]}")


def _judge(cell: CellSpec, info: MethodInfo, footprint: dict[str, Any], outcome: Outcome) -> None:
    kind = cell.budget.ceiling.kind
    spread = footprint[kind]
    if footprint["limit"] is not None and spread["maximum"] > footprint["limit"]:
        outcome.status = "over_ceiling"
        outcome.reason = f"{kind} {spread['maximum']} bits an image at most; the ceiling allows {footprint['limit']}"
    if info.guarantee == "static" and spread["samples"] is not None:
        outcome.warnings.append("registered as static, but the footprint depends on the data")


def _footprint(bench: Workbench, cell: CellSpec, spliced: Spliced, meter: Meter) -> dict[str, Any]:
    network = bench.network
    codecs = spliced.codecs()
    limit = None if cell.budget == REFERENCE else cell.budget.ceiling.limit(network.maps)
    stored = {fmap.name: int(meter.bits(fmap).max()) for fmap in network.maps}
    activations = activation_bits(network, stored, {name: codec.side for name, codec in codecs.items()})
    reference = [fmap.bits for fmap in network.activations]
    return describe_footprint(network.maps, codecs, meter, limit) | {
        "activations": _convention(activations, reference),
        "live": {
            "peak": live_peak(network, stored),
            "traffic": None,
            "reference_peak": bench.reference_live_peak,
            "reference_traffic": None,
        },
    }


def _convention(bits: list[int], reference: list[int]) -> dict[str, int]:
    return {
        "peak": max(bits, default=0),
        "traffic": sum(bits),
        "reference_peak": max(reference, default=0),
        "reference_traffic": sum(reference),
    }


def _quality(bench: Workbench, scores: torch.Tensor) -> dict[str, Any]:
    metric = bench.workload.metric
    quality = paired_bootstrap(scores, bench.reference_scores, metric.score)
    named = {"metric": bench.info.metric, "unit": bench.info.unit}
    return named | asdict(quality) | {"per_image": scores[:, 0].tolist() if scores.shape[1] == 1 else None}


def _compute(bench: Workbench, cell: CellSpec, spliced: Spliced, deployed: Spliced, meter: Meter) -> dict[str, int]:
    counts = count(deployed.module, bench.image)
    return {
        "macs": counts.total,
        "macs_unfolded": count(spliced.module, bench.image).total,
        "reference_macs": bench.reference_counts.total,
        "bit_operations": bit_operations(deployed.module, counts, meter.layouts, cell.budget.bits.weights),
        "reference_bit_operations": bench.reference_bit_operations,
    }


def _parameters(bench: Workbench, spliced: Spliced, deployed: Spliced) -> dict[str, int]:
    original = bench.network.parameters
    return {
        "original": original,
        "added": _count(spliced.module) - original,
        "deployed": _count(deployed.module),
    }


def _count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _latency(bench: Workbench, deployed: Spliced) -> dict[str, Any]:
    def run(spliced: Spliced) -> object:
        with torch.no_grad():
            return spliced.module(bench.latency_images)

    latency = interleaved(lambda: run(deployed), lambda: run(bench.reference), batch=LATENCY_BATCH, device=bench.device)
    stages = {"encode": deployed.encoders().values(), "decode": deployed.decoders().values()}
    with Stopwatch(stages, bench.device) as watch:
        run(deployed)
    return asdict(latency) | watch.seconds


def _memory(bench: Workbench, deployed: Spliced) -> dict[str, Any]:
    return asdict(bench.memory(deployed)) | {"reference_peak_bytes": bench.reference_memory.peak_bytes}


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:500]


def _place(error: BaseException) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{frame.filename.rpartition('/')[2]}:{frame.lineno}"
