"""One cell, from a method to measurements: plan, codecs in place, recover, deploy, check, measure."""

from __future__ import annotations

import traceback
from dataclasses import asdict
from typing import cast

import torch
from pydantic import ValidationError
from torch import Tensor, fx

from actbench.codec.method import Method, Plan
from actbench.errors import InvalidCodec, Unsupported
from actbench.feature_map import Maps
from actbench.harness.deployed import check_outputs, measure_compiled, measure_latency, measure_memory, predict_memory
from actbench.harness.fit import fit
from actbench.harness.isolation.decoder import Sampled, fresh_decoder
from actbench.harness.outcome import Outcome, Progress
from actbench.harness.training import SAVED_MAPS, measure_training
from actbench.harness.turns import Turns
from actbench.harness.workbench import Workbench
from actbench.info import MethodInfo, load_target
from actbench.measure.compute import count
from actbench.measure.footprint import Meter, check_payloads, measure_footprint
from actbench.measure.tables import static_bits
from actbench.network.deploy import deploy
from actbench.network.splice import Spliced, splice
from actbench.network.trace import TracedNetwork
from actbench.records.measurements import Measurements
from actbench.records.parts.compute import Compute, Parameters
from actbench.records.parts.footprint import Footprint
from actbench.records.parts.integer import Integer
from actbench.records.parts.network import Network
from actbench.records.parts.part import first_error
from actbench.records.parts.training import Recovery
from actbench.recovery.train import recover
from actbench.runtime.integer import integer_form
from actbench.runtime.network import StripedNetwork
from actbench.settings import Inference, Training
from actbench.spec import CellSpec

_NO_MEMORY = "can't allocate memory"
"""How torch's allocator on the CPU says it, in a RuntimeError."""


def run_cell(
    bench: Workbench, cell: CellSpec, info: MethodInfo, progress: Progress, turns: Turns | None = None
) -> Outcome:
    """Measures one cell. Whatever goes wrong is an outcome, with what had been measured until then. `turns`: among the
    cells that are measured beside it, if there are any."""
    turns = turns or Turns()
    with turns.beside():
        outcome = _outcome(bench, cell, info, progress, turns)
    outcome.load = turns.load
    return outcome


def _outcome(bench: Workbench, cell: CellSpec, info: MethodInfo, progress: Progress, turns: Turns) -> Outcome:
    outcome = Outcome()
    maps: Maps = SAVED_MAPS if isinstance(cell.settings, Training) else cell.settings.maps
    try:
        _describe(bench.maps[maps].network, outcome)
        if isinstance(cell.settings, Training):
            measure_training(bench, cell, cell.settings, info, progress, turns, outcome)
        else:
            _measure(bench, cell, cell.settings, info, progress, turns, outcome)
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


def _describe(network: TracedNetwork, outcome: Outcome) -> None:
    """Says how the network was traced, and what its user should know. Raises Unsupported where there is no map."""
    outcome.measurements.network = Network(way=network.way)
    outcome.warnings += network.notes
    if not network.maps:
        raise Unsupported("the network has no feature map: no tensor C×H×W of one image waits between two layers")


def _measure(
    bench: Workbench,
    cell: CellSpec,
    settings: Inference,
    info: MethodInfo,
    progress: Progress,
    turns: Turns,
    outcome: Outcome,
) -> None:
    torch.manual_seed(cell.seed)
    measured = outcome.measurements
    spliced, plan = compress_cell(bench, cell, settings, info, progress, measured)
    outcome.warnings += plan.notes
    progress("deploy", 0, 0)
    deployed = deploy(spliced, cell.budget.bits.weights, bench.example)
    measured.compute = _compute(bench, cell, spliced, deployed)
    # From here on, and not before, evaluation images are seen.
    with fresh_decoder(deployed.codecs(), bench.device) as decode:
        progress("check", 0, 0)
        sizes = bench.batches
        images = bench.evaluation.images(slice(0, sizes.checked)).to(bench.device)
        check_payloads(deployed, images, images.flip((2, 3)))
        batches = -(-len(bench.evaluation) // sizes.evaluation)
        with Meter(deployed) as meter, Sampled(deployed, batches, sizes.checked, decode):
            scores = bench.scores(deployed.module, lambda done, total: progress("evaluate", done, total))
    shared = bench.maps[settings.maps]
    limit = None if cell.is_reference else cell.budget.ceiling.limit(shared.network.maps)
    tables = static_bits(deployed, cell.budget.bits.weights)
    codecs, live = spliced.codecs(), shared.reference_live_peak
    measured.footprint = measure_footprint(shared.network, codecs, tables, meter, limit, live)
    measured.quality = bench.quality(scores, bench.reference_scores)
    progress("measure", 0, 0)
    measured.parameters = _parameters(bench, spliced, deployed)
    simulated, striped = _striped(cell, settings, spliced, images, measured)
    with turns.alone():
        measured.latency = measure_latency(bench, striped)
    measured.memory = measure_memory(bench, striped)
    measured.predicted_memory = predict_memory(bench, striped)
    if settings.compile:
        progress("compile", 0, 0)
        with turns.alone():
            compiled = measure_compiled(bench, striped, simulated)
        measured.latency = measured.latency.model_copy(update={"compiled": compiled})
    _judge(cell, info, measured.footprint, outcome)


def compress_cell(
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
    shared = bench.maps[settings.maps]
    network = bench.planning(shared.network, cell.calibration)
    plan = method.plan(network, shared.statistics(cell.calibration), cell.budget)
    _check_plan(shared.network, plan)
    if cell.is_reference:
        spliced = splice(shared.network, plan.codecs)
    else:
        spliced, measured.fit = fit(bench, cell, settings, info, progress, plan)
    spliced.module.to(bench.device).eval()
    if steps := settings.recover:
        recipe = method.recipe(settings.recipe)
        losses = recover(
            spliced,
            shared.network,
            bench.workload,
            steps,
            cell.seed,
            bench.device,
            lambda step: progress("recover", step, steps),
            recipe,
        )
        measured.recovery = Recovery(recipe=asdict(recipe), losses=losses)
    return spliced, plan


def _striped(
    cell: CellSpec, settings: Inference, spliced: Spliced, images: Tensor, measured: Measurements
) -> tuple[fx.GraphModule, StripedNetwork]:
    """The deployed form, and the same as it runs, checked on some images. Layers read what is decoded: those that read
    payloads round otherwise, which may choose other coefficients. Nothing is stored between the reference's layers: it
    runs as it is.
    """
    simulated = module = deploy(spliced, cell.budget.bits.weights).module
    if settings.compute == "int8":
        form = integer_form(simulated, cell.budget.bits.weights)
        module = form.module
        measured.integer = Integer(engine=form.engine, layers=list(form.layers), others=dict(form.others))
    striped = StripedNetwork(module, "off" if cell.is_reference else settings.rows)
    check_outputs(striped, simulated, images)
    return simulated, striped


def _check_plan(network: TracedNetwork, plan: Plan) -> None:
    unknown = sorted(set(plan.codecs) - {fmap.name for fmap in network.maps})
    if unknown:
        raise InvalidCodec(f"the plan names a feature map that the network does not have: {unknown[0]}")


def _judge(cell: CellSpec, info: MethodInfo, footprint: Footprint, outcome: Outcome) -> None:
    kind = cell.budget.ceiling.kind
    stored, _ = footprint.counted(kind)
    if footprint.limit is not None and stored > footprint.limit:
        outcome.status = "over_ceiling"
        outcome.reason = f"{kind} {stored} bits an image at most; the ceiling allows {footprint.limit}"
    if info.guarantee == "static" and footprint.traffic.samples is not None:
        outcome.warnings.append("registered as static, but the footprint depends on the data")


def _compute(bench: Workbench, cell: CellSpec, spliced: Spliced, deployed: Spliced) -> Compute:
    counts = count(deployed.module, bench.example, cell.budget.bits)
    return Compute(
        macs=counts.total,
        macs_unfolded=count(spliced.module, bench.example).total,
        reference_macs=bench.reference_counts.total,
        bit_operations=counts.bit_operations,
        reference_bit_operations=bench.reference_counts.bit_operations,
    )


def _parameters(bench: Workbench, spliced: Spliced, deployed: Spliced) -> Parameters:
    original = bench.network.parameters
    return Parameters(original=original, added=_count(spliced.module) - original, deployed=_count(deployed.module))


def _count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:500] or type(error).__name__


def _place(error: BaseException) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{frame.filename.rpartition('/')[2]}:{frame.lineno}"
