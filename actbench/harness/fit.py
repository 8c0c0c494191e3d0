"""The help that every method gets alike, for one cell, and what of it is kept."""

from __future__ import annotations

from collections.abc import Sequence

from actbench.codec.method import Plan
from actbench.fitting.deployed_loss import deployed_loss
from actbench.fitting.plain_maps import PlainMaps
from actbench.fitting.services import Fitting, Service, Services
from actbench.harness.outcome import Progress
from actbench.harness.workbench import Workbench
from actbench.info import MethodInfo
from actbench.network.splice import Spliced
from actbench.records.parts.fit import Fit, Trial
from actbench.settings import Inference
from actbench.spec import CellSpec

_ORDER: Sequence[Service] = ("sequence", "refit", "clips", "statistics")


def fit(
    bench: Workbench, cell: CellSpec, settings: Inference, info: MethodInfo, progress: Progress, plan: Plan
) -> tuple[Spliced, Fit | None]:
    """The network with a plan's codecs in place, and the fit that was chosen; None where the cell has bare methods, or
    where there are too few calibration images to choose by."""
    progress("fit", 0, 0)
    shared = bench.maps[settings.maps]
    fitting, choice = bench.fitting(cell.calibration), bench.choice(cell.calibration)
    never, coder = settings.plain == "never", info.guarantee == "data-dependent"
    rule = PlainMaps(shared.network.maps, shared.network.readers, cell.budget, never, coder)
    images = fitting.images(slice(0, bench.batches.fitted)).to(bench.device)
    # A sum of products of integers has one step for all channels.
    one_clip = settings.compute == "int8"
    services = Fitting(shared.network, rule, shared.statistics(cell.calibration), images, clips=not one_clip)
    weight_bits, batch, task = cell.budget.bits.weights, bench.batches.evaluation, bench.workload.loss
    loss = deployed_loss(weight_bits, choice, batch, task, bench.device)

    def chosen_by(trial: Spliced) -> float:
        progress("fit", 0, 0)  # between trials other cells may have their turn
        return loss(trial)

    fitted = services.fitted(plan, chosen_by if len(choice) and settings.fit != "off" else None)
    trials = [Trial(services=_named(tried), loss=loss) for tried, loss in fitted.losses.items()]
    kept = _named(fitted.kept)
    if not trials:
        return fitted.spliced, None
    return fitted.spliced, Fit(kept=kept, trials=trials, fitted_on=len(fitting), chosen_on=len(choice))


def _named(services: Services) -> list[Service]:
    return [service for service in _ORDER if service in services]
