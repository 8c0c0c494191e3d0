"""What a cell implies of its record: the ceiling's limit, and whether the status is the one that follows from it."""

from __future__ import annotations

from actbench.records.measurements import Measurements
from actbench.records.parts.footprint import Footprint
from actbench.records.parts.implied import expect, require
from actbench.records.parts.training import Training
from actbench.spec import CellSpec

_JUDGED = ("ok", "over_ceiling")
"""Statuses that say how the measurement stands to the ceiling."""


def judge(cell: CellSpec, status: str, measured: Measurements) -> None:
    """Raises ValueError, naming the field, where limit or status are not those of the cell and its measurements."""
    if measured.footprint is not None:
        _judge_footprint(cell, status, measured.footprint)
    if measured.training is not None:
        _judge_training(cell, status, measured.training)
    judged = measured.footprint if cell.settings.track == "inference" else measured.training
    if status == "ok" and measured.quality is not None:
        require(judged is not None, "status is ok, and what the ceiling limits was not measured")
    if measured.recovery is not None:
        steps = cell.settings.training_steps
        expect("measurements.recovery.losses", len(measured.recovery.losses), steps + 1, "belong to its steps")


def _judge_footprint(cell: CellSpec, status: str, footprint: Footprint) -> None:
    field = "measurements.footprint.limit"
    if cell.is_reference:
        require(footprint.limit is None, f"{field} is {footprint.limit}, and the reference has none")
        return
    require(footprint.limit is not None, f"{field} is missing")
    ceiling = cell.budget.ceiling
    stored, whole = footprint.counted(ceiling.kind)
    limit = ceiling.allowed(whole)
    expect(field, footprint.limit or 0, limit, f"by the ceiling {ceiling}")
    _judge_status(status, "live.peak" if ceiling.kind == "live" else f"{ceiling.kind}.maximum", stored, limit)


def _judge_training(cell: CellSpec, status: str, training: Training) -> None:
    field, ceiling = "measurements.training.limit_bytes", cell.budget.ceiling
    expect("measurements.training.losses", len(training.losses), cell.settings.training_steps, "belong to its steps")
    if cell.is_reference:
        require(training.limit_bytes is None, f"{field} is {training.limit_bytes}, and the reference has none")
        return
    require(training.limit_bytes is not None, f"{field} is missing")
    require(ceiling.kind == "traffic", f"spec.ceiling is {ceiling}, and what training saves has no largest map")
    bits_of_an_image = 8 * training.reference_payload_bytes // training.batch
    limit = ceiling.allowed(bits_of_an_image) * training.batch // 8
    expect(field, training.limit_bytes or 0, limit, f"by the ceiling {ceiling}")
    if status in _JUDGED:
        require(training.payload_bytes is not None, f"status is {status}, and the payloads were not measured")
    _judge_status(status, "most payload bytes", training.most_payload_bytes, limit)


def _judge_status(status: str, field: str, stored: int, limit: int) -> None:
    over = stored > limit
    if status in _JUDGED:
        require(over == (status == "over_ceiling"), f"status is {status}, with {field} {stored} and a limit of {limit}")
