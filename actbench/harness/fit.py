"""The help that every method gets alike, for one cell, and what of it is kept."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from actbench.codec.codec import Codec
from actbench.codec.method import Plan
from actbench.codec.plain import PlainCodec
from actbench.fitting.plain_maps import PlainMaps
from actbench.fitting.services import Fitting, Service, Services
from actbench.harness.workbench import Workbench
from actbench.info import MethodInfo
from actbench.network.deploy import deploy
from actbench.network.splice import Spliced, splice
from actbench.records.parts.fit import Fit, Trial
from actbench.settings import Inference
from actbench.spec import CellSpec
from actbench.workloads.base import ImageSet

_ORDER: Sequence[Service] = ("sequence", "refit", "clips", "statistics")


def fit(
    bench: Workbench, cell: CellSpec, settings: Inference, info: MethodInfo, plan: Plan
) -> tuple[Spliced, Fit | None]:
    """The network with a plan's codecs in place, and the fit that was chosen; None where the cell has bare methods, or
    where there are too few calibration images to choose by."""
    shared = bench.maps[settings.maps]
    fitting, choice = bench.fitting(cell.calibration), bench.choice(cell.calibration)
    never, coder = settings.plain == "never", info.guarantee == "data-dependent"
    rule = PlainMaps(shared.network.maps, shared.network.readers, cell.budget, never, coder)
    images = fitting.images(slice(0, bench.batches.fitted)).to(bench.device)
    # A sum of products of integers has one step for all channels.
    one_clip = settings.compute == "int8"
    services = Fitting(shared.network, rule, shared.statistics(cell.calibration), images, clips=not one_clip)
    others: dict[str, Codec] = {fmap.name: PlainCodec(None) for fmap in shared.network.maps}
    plan = Plan(others | dict(plan.codecs), plan.notes)
    if settings.fit == "off" or not len(choice):
        return splice(shared.network, services.bare(plan)), None
    fitted = services.choose(plan, lambda spliced: _loss(bench, spliced, cell.budget.bits.weights, choice))
    trials = [Trial(services=_named(tried), loss=loss) for tried, loss in fitted.losses.items()]
    kept = _named(fitted.kept)
    if not trials:
        return fitted.spliced, None
    return fitted.spliced, Fit(kept=kept, trials=trials, fitted_on=len(fitting), chosen_on=len(choice))


def _named(services: Services) -> list[Service]:
    return [service for service in _ORDER if service in services]


@torch.no_grad()
def _loss(bench: Workbench, spliced: Spliced, weight_bits: int, choice: ImageSet) -> float:
    """The task's mean loss of the deployed form on the images that are held apart."""
    module, total = deploy(spliced, weight_bits).module.to(bench.device), 0.0
    for images, targets in choice.batches(bench.batches.evaluation):
        outputs = module(images.to(bench.device))
        total += len(images) * float(bench.workload.loss(outputs, targets.to(bench.device)))
    return total / len(choice)
