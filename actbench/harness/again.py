"""A cell's compressed network once more: for whoever takes it away, with nothing measured but what it stores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch

from actbench.errors import UserError
from actbench.harness.inference import compress_cell
from actbench.harness.outcome import Progress
from actbench.harness.workbench import Workbench
from actbench.info import MethodInfo
from actbench.measure.footprint import Meter
from actbench.network.deploy import deploy
from actbench.network.splice import Spliced
from actbench.records.measurements import Measurements
from actbench.records.parts.footprint import Footprint
from actbench.records.record import Record
from actbench.settings import Inference
from actbench.spec import CellSpec


def compress_again(bench: Workbench, cell: CellSpec, info: MethodInfo, progress: Progress) -> Spliced:
    """Plans, fits and recovers as the cell says, with its seeds, on its calibration images; `progress` is told of each
    step. Raises what the method raises."""
    torch.manual_seed(cell.seed)
    settings = cast(Inference, cell.settings)
    spliced, _ = compress_cell(bench, cell, settings, info, progress, Measurements())
    return spliced


def check_footprint(bench: Workbench, record: Record, spliced: Spliced) -> None:
    """Raises UserError, naming the map, where a network does not store what a record says, on the evaluation images."""
    published, weights = record.measurements.footprint, record.cell.budget.bits.weights
    if published is None:
        raise UserError(f"record {record.key} has no footprint: {record.status}, {record.reason}")
    deployed = deploy(spliced, weights, bench.example)
    with torch.no_grad(), Meter(deployed) as meter:
        for images, _ in bench.evaluation.batches(bench.batches.evaluation):
            deployed.module(images.to(bench.device))
    maps = bench.maps[cast(Inference, record.cell.settings).maps].network.maps
    here = {fmap.name: int(meter.bits(fmap).max()) for fmap in maps}
    said = _bits(published)
    differing = sorted(name for name in {*said, *here} if said.get(name) != here.get(name))
    if differing:
        name = differing[0]
        raise UserError(
            f"this is not the network of record {record.key}: of map {name} it stores {here.get(name, 'nothing')} "
            f"bits, and the record says {said.get(name, 'nothing')}; `actbench verify` says what else differs"
        )


def _bits(footprint: Footprint) -> Mapping[str, int]:
    return {row.name: row.bits.maximum for row in footprint.maps}
