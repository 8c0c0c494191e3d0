"""One cell, from a method to measurements: plan, codecs in place, recover, deploy, check, measure."""

from __future__ import annotations

import traceback
from dataclasses import asdict
from typing import cast

import torch
from pydantic import ValidationError

from actbench.codec.method import Method, Plan
from actbench.errors import InvalidCodec, Unsupported
from actbench.harness.isolation.decoder import CHECKED_IMAGES, Sampled, fresh_decoder
from actbench.harness.outcome import Outcome, Progress
from actbench.harness.training import measure_training
from actbench.harness.workbench import LATENCY_BATCH, Workbench
from actbench.info import MethodInfo, load_target
from actbench.measure.compute import bit_operations, count
from actbench.measure.footprint import Meter, check_payloads, measure_footprint
from actbench.measure.latency import Stopwatch, interleaved, with_stages
from actbench.measure.memory import memory
from actbench.network.deploy import deploy
from actbench.network.splice import Spliced, splice
from actbench.records.measurements import Measurements
from actbench.records.parts.compute import Compute, Parameters
from actbench.records.parts.footprint import Footprint
from actbench.records.parts.latency import Latency
from actbench.records.parts.part import first_error
from actbench.records.parts.training import Recovery
from actbench.recovery.train import recover
from actbench.settings import Inference, Training
from actbench.spec import CellSpec

_NO_MEMORY = "can't allocate memory"
"""How torch's allocator on the CPU says it, in a RuntimeError."""


def run_cell(bench: Workbench, cell: CellSpec, info: MethodInfo, progress: Progress) -> Outcome:
    """Measures one cell. Whatever goes wrong is an outcome, with what had been measured until then."""
    outcome = Outcome()
    try:
        if isinstance(cell.settings, Training):
            measure_training(bench, cell, cell.settings, info, progress, outcome)
        else:
            _measure(bench, cell, cell.settings, info, progress, outcome)
    except Unsupported as error:
        outcome.status, outcome.reason = "unsupported", _one_line(error)
    except InvalidCodec as error:
        outcome.status, outcome.reason = "invalid", _one_line(error)
    except ValidationError as error:
        outcome.status, outcome.reason = "invalid", f"measured {first_error(error)}"
    except (MemoryError, torch.OutOfMemoryError) as error:
        outcome.status, outcome.reason = "oom", _one_line(error)
    except Exception as error:
        if _NO_MEMORY in str(error):
            outcome.status, outcome.reason = "oom", _one_line(error)
            return outcome
        outcome.status, outcome.reason = "crash", f"{type(error).__name__}: {_one_line(error)} ({_place(error)})"
        outcome.warnings.append(traceback.format_exc(limit=-6))
    return outcome


def _measure(
    bench: Workbench, cell: CellSpec, settings: Inference, info: MethodInfo, progress: Progress, outcome: Outcome
) -> None:
    torch.manual_seed(cell.seed)
    measured = outcome.measurements
    spliced, plan = _compress(bench, cell, settings, info, progress, measured)
    outcome.warnings += plan.notes
    progress("deploy", 0, 0)
    deployed = deploy(spliced, cell.budget.bits.weights, bench.example)
    # From here on, and not before, evaluation images are seen.
    with fresh_decoder(deployed.codecs(), bench.device) as decode:
        progress("check", 0, 0)
        images = bench.evaluation.images(slice(0, CHECKED_IMAGES)).to(bench.device)
        check_payloads(deployed, images, images.flip((2, 3)))
        with Meter(deployed) as meter, Sampled(deployed, -(-len(bench.evaluation) // bench.batch_size())) as sampled:
            scores = bench.scores(deployed.module, lambda done, total: progress("evaluate", done, total))
        sampled.check(decode)
    limit = None if cell.is_reference else cell.budget.ceiling.limit(bench.network.maps)
    measured.footprint = measure_footprint(bench.network, spliced.codecs(), meter, limit, bench.reference_live_peak)
    measured.quality = bench.quality(scores, bench.reference_scores)
    progress("measure", 0, 0)
    measured.compute = _compute(bench, cell, spliced, deployed, meter)
    measured.parameters = _parameters(bench, spliced, deployed)
    measured.latency = _latency(bench, deployed)
    measured.memory = memory(bench.peak(deployed, bench.image), bench.reference_peak)
    measured.predicted_memory = bench.predicted_memory(deployed)
    _judge(cell, info, measured.footprint, outcome)


def _compress(
    bench: Workbench,
    cell: CellSpec,
    settings: Inference,
    info: MethodInfo,
    progress: Progress,
    measured: Measurements,
) -> tuple[Spliced, Plan]:
    """The network with the method's codecs in place, recovered where the division allows it."""
    progress("plan", 0, 0)
    method = cast(Method, load_target(info.target)(cell.method.options))
    plan = method.plan(bench.planning(bench.network), bench.statistics, cell.budget)
    _check_plan(bench, plan)
    spliced = splice(bench.network, plan.codecs)
    spliced.module.to(bench.device).eval()
    if steps := settings.recover:
        recipe = method.recipe(settings.recipe)
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
        measured.recovery = Recovery(recipe=asdict(recipe), losses=losses)
    return spliced, plan


def _check_plan(bench: Workbench, plan: Plan) -> None:
    unknown = sorted(set(plan.codecs) - {fmap.name for fmap in bench.network.maps})
    if unknown:
        raise InvalidCodec(f"the plan names a feature map that the network does not have: {unknown[0]}")


def _judge(cell: CellSpec, info: MethodInfo, footprint: Footprint, outcome: Outcome) -> None:
    kind = cell.budget.ceiling.kind
    spread = footprint.peak if kind == "peak" else footprint.traffic
    if footprint.limit is not None and spread.maximum > footprint.limit:
        outcome.status = "over_ceiling"
        outcome.reason = f"{kind} {spread.maximum} bits an image at most; the ceiling allows {footprint.limit}"
    if info.guarantee == "static" and spread.samples is not None:
        outcome.warnings.append("registered as static, but the footprint depends on the data")


def _compute(bench: Workbench, cell: CellSpec, spliced: Spliced, deployed: Spliced, meter: Meter) -> Compute:
    counts = count(deployed.module, bench.image)
    return Compute(
        macs=counts.total,
        macs_unfolded=count(spliced.module, bench.image).total,
        reference_macs=bench.reference_counts.total,
        bit_operations=bit_operations(deployed.module, counts, meter.layouts, cell.budget.bits.weights),
        reference_bit_operations=bench.reference_bit_operations,
    )


def _parameters(bench: Workbench, spliced: Spliced, deployed: Spliced) -> Parameters:
    original = bench.network.parameters
    return Parameters(original=original, added=_count(spliced.module) - original, deployed=_count(deployed.module))


def _count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _latency(bench: Workbench, deployed: Spliced) -> Latency:
    def run(spliced: Spliced) -> object:
        with torch.no_grad():
            return spliced.module(bench.latency_images)

    in_turn = interleaved(lambda: run(deployed), lambda: run(bench.reference), batch=LATENCY_BATCH, device=bench.device)
    stages = {"encode": deployed.encoders().values(), "decode": deployed.decoders().values()}
    with Stopwatch(stages, bench.device) as watch:
        run(deployed)
    return with_stages(in_turn, encode=watch.seconds["encode"], decode=watch.seconds["decode"])


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:500]


def _place(error: BaseException) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{frame.filename.rpartition('/')[2]}:{frame.lineno}"
