"""What a repetition compares beyond the columns: the values of a record's parts by their names, under one name each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from actbench.records.measurements import Measurements
from actbench.records.parts.footprint import Footprint, StoredMap
from actbench.records.parts.memory import Memory
from actbench.records.parts.part import Part
from actbench.records.parts.quality import Quality
from actbench.records.parts.training import Training
from actbench.records.record import Record

Values = dict[str, object]
SomePart = TypeVar("SomePart", bound=Part)


def _of(
    part: Callable[[Measurements], SomePart | None], values: Callable[[SomePart], Values]
) -> Callable[[Record], Values | None]:
    """Values of a record's part; None where it was not measured."""

    def of_record(record: Record) -> Values | None:
        measured = part(record.measurements)
        return None if measured is None else values(measured)

    return of_record


def _of_maps(values: Callable[[StoredMap], Values]) -> Callable[[Record], Values | None]:
    def of_maps(footprint: Footprint) -> Values:
        return {f"{one.name} {name}".strip(): value for one in footprint.maps for name, value in values(one).items()}

    return _of(lambda measured: measured.footprint, of_maps)


def _of_training(values: Callable[[Training], Values]) -> Callable[[Record], Values | None]:
    return _of(lambda measured: measured.training, values)


def _form(stored: StoredMap) -> Values:
    size = f"{stored.channels}×{stored.height}×{stored.width}"
    return {"": f"{size} by {stored.producer} for {', '.join(stored.readers)}{', shared' if stored.shared else ''}"}


def _bits(stored: StoredMap) -> Values:
    bits = stored.bits
    return {"at most": bits.maximum, "mean": bits.mean, "side": stored.side_bits, "static": stored.static_bits}


def _conventions(footprint: Footprint) -> Values:
    both = {"activations": footprint.activations, "live": footprint.live}
    return {f"{name} {field}": value for name, one in both.items() for field, value in one.model_dump().items()}


def _with_timeline(measured: Measurements) -> Memory | None:
    return measured.memory if measured.memory and measured.memory.timeline else None


def _steps(memory: Memory) -> Values:
    steps = enumerate(memory.timeline or (), 1)
    sizes = {f"{number} {step.name}": (step.stored_bytes, step.peak_bytes) for number, step in steps}
    stored: Values = {f"{name}, stored": first for name, (first, _) in sizes.items()}
    return stored | {f"{name}, peak": second for name, (_, second) in sizes.items()}


def _named(names: Iterable[str], part: Part) -> Values:
    return {name.replace("_", " "): getattr(part, name) for name in names}


def _choices(by_layer: Mapping[str, Mapping[str, object]]) -> Values:
    return {f"{layer} {name}": value for layer, chosen in by_layer.items() for name, value in chosen.items()}


def _with_reference_point(measured: Measurements) -> Quality | None:
    return measured.quality if measured.quality and measured.quality.reference_point is not None else None


PARTS: dict[str, Callable[[Record], Values | None]] = {
    "reference point": _of(_with_reference_point, lambda part: {"": part.reference_point}),
    "feature maps": _of_maps(_form),
    "bits of each map": _of_maps(_bits),
    "choices of each map": _of_maps(lambda stored: dict(stored.choices)),
    "side and static bits": _of(
        lambda measured: measured.footprint, lambda part: _named(("side_bits", "static_bits", "limit"), part)
    ),
    "other conventions": _of(lambda measured: measured.footprint, _conventions),
    "operations": _of(lambda measured: measured.compute, lambda part: part.model_dump()),
    "parameters": _of(lambda measured: measured.parameters, lambda part: part.model_dump()),
    "memory in fp32": _of(
        lambda measured: measured.memory, lambda part: _named(("reference_peak_bytes", "source"), part)
    ),
    "memory, step by step": _of(_with_timeline, _steps),
    "recipe of recovery": _of(lambda measured: measured.recovery, lambda part: dict(part.recipe)),
    "trained layers": _of_training(lambda part: {"": ", ".join(part.layers)}),
    "choices of each layer": _of_training(lambda part: _choices(part.choices)),
    "saved by each module": _of_training(lambda part: dict(part.saved_by_module)),
    "bytes of a step": _of_training(
        lambda part: _named(("batch", "limit_bytes", "reference_saved_bytes", "reference_payload_bytes"), part)
    ),
}
"""By the name of the check: the values of a record, None where they were not measured. Seconds, losses and gradients
are left out: they follow from what is compared, or from the machine."""
