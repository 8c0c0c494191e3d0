"""A record beside its repetition: everything that a record claims is compared, each thing by one check with a name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from actbench.records.column import Column
from actbench.records.columns import COLUMNS
from actbench.records.parts.quality import Quality
from actbench.records.record import Record
from actbench.records.repeated_parts import PARTS
from actbench.spec import CellSpec

COUNT_TOLERANCE = 0.001
"""Relative, on another processor or torch than a record names: sums are rounded otherwise there, and a code here and
there, or a choice between two that are nearly equal, with them. On the same ones counts are exact."""

PART_TOLERANCE = 0.01
"""The same for a single map or layer, of which a code makes a larger share."""

LATENCY_TOLERANCE = 2.0
"""Ratios of time may differ by this factor: other machines, and others' work on the same one, change them."""

INTERVAL = "interval of quality"
"""The check that the published interval is the one that the published values of the images give."""

_ROUNDED = 1e-9


@dataclass(frozen=True)
class Check:
    """One thing that should be as published. `unsteady`: a time that is not compared, whatever it is, since its
    quartiles are far apart in the record or in its repetition."""

    name: str
    published: str
    repeated: str
    holds: bool
    unsteady: bool = False


def compare_measurements(published: Record, repeated: Record) -> list[Check]:
    """Status exactly; counts exactly or within COUNT_TOLERANCE; values within the published interval, and on the same
    arithmetic image by image; ratios of time within LATENCY_TOLERANCE, where both are steady; what was chosen, map by
    map."""
    exactly = same_arithmetic(published, repeated)
    within, within_part = (0.0, 0.0) if exactly else (COUNT_TOLERANCE, PART_TOLERANCE)
    columns = (_compared(column, published, repeated, within) for column in COLUMNS if column.repeats is not None)
    status = Check("status", published.status, repeated.status, published.status == repeated.status)
    images = _compared_images(published, repeated, exactly=exactly)
    parts = (_compared_part(name, part, published, repeated, within_part) for name, part in PARTS.items())
    return [status, *filter(None, columns), *images, *filter(None, parts)]


def check_names(record: Record) -> set[str]:
    """The names of all checks that a verification makes of a record."""
    cell, quality = record.cell, record.measurements.quality
    names = {check.name for check in compare_measurements(record, record)}
    interval = {INTERVAL} if quality is not None and quality.factor is not None else set()
    return names | interval | environment_names(cell) | {source_of(cell.method.name)}


def environment_names(cell: CellSpec) -> set[str]:
    """The names of the checks that need no measurement, but for the one of the source."""
    return {"protocol", version_of(cell.method.name), *map(digest_of, cell.workload.digests)}


def version_of(method: str) -> str:
    """The name of the check of a method's version."""
    return f"version of {method}"


def source_of(method: str) -> str:
    """The name of the check of a plugin's source."""
    return f"source of {method}"


def digest_of(part: str) -> str:
    """The name of the check of a part of the workload."""
    return f"digest of {part}"


def same_arithmetic(published: Record, repeated: Record) -> bool:
    """Whether both were measured on the same kind of processor, by as many threads of the same torch."""
    return _arithmetic(published) == _arithmetic(repeated)


def _arithmetic(record: Record) -> tuple[object, ...] | None:
    where = record.environment
    if where is None:
        return None
    return (where.versions.get("torch"), *(where.machine.get(name) for name in ("cpu", "threads", "gpu")))


def _compared(column: Column[Record], published: Record, repeated: Record, within: float) -> Check | None:
    first, second = (column.value(record) for record in (published, repeated))
    if first is None:
        return None  # nothing is claimed
    name, texts = column.title, (column.text(published), column.text(repeated))
    if not isinstance(first, int | float) or not isinstance(second, int | float):
        return _gone(name)
    if column.repeats == "exact":
        return Check(name, *texts, holds=abs(first - second) <= within * max(first, second))
    if column.repeats == "ratio":
        if column.is_unsteady(published) or column.is_unsteady(repeated):
            return Check(name, *texts, holds=True, unsteady=True)
        return Check(name, *texts, holds=first / LATENCY_TOLERANCE <= second <= first * LATENCY_TOLERANCE)
    low, high = column.bounds(published) or (first, first)
    slack = _ROUNDED * max(abs(low), abs(high))  # values that are equal may be sums in another order
    inside = low - slack <= second <= high + slack
    return Check(name, f"{first:.3f} [{low:.3f}, {high:.3f}]", f"{second:.3f}", holds=inside)


def _gone(name: str) -> Check:
    """What was measured, and was not when it was repeated."""
    return Check(name, "measured", "not measured", holds=False)


def _compared_images(published: Record, repeated: Record, *, exactly: bool) -> Iterator[Check]:
    """The reference's quality, and the value of each image: on the same arithmetic, on a CPU, all are equal."""
    first, second = (record.measurements.quality for record in (published, repeated))
    if first is None or second is None:
        return  # said of the quality
    exactly &= published.cell.device == "cpu"
    yield _compared_reference(first, second, exactly)
    ours, theirs = (quality.per_image or quality.pseudo_values or [] for quality in (first, second))
    if not ours:
        return  # nothing is claimed of images
    differing = sum(one != other for one, other in zip(ours, theirs, strict=False)) + abs(len(ours) - len(theirs))
    holds = differing == 0 if exactly else first.interval[0] <= second.value <= first.interval[1]
    yield Check("values of images", f"{len(ours):,} images", f"{differing:,} differ", holds)


def _compared_reference(first: Quality, second: Quality, exactly: bool) -> Check:
    slack = _ROUNDED * abs(first.reference) if exactly else (first.interval[1] - first.interval[0]) / 2
    holds = abs(first.reference - second.reference) <= slack
    return Check("reference quality", f"{first.reference:.3f}", f"{second.reference:.3f}", holds)


Claims = Callable[[Record], dict[str, object] | None]


def _compared_part(name: str, claims: Claims, published: Record, repeated: Record, within: float) -> Check | None:
    """Many values under one name: the first that differs is shown."""
    first, second = claims(published), claims(repeated)
    if first is None:
        return None
    if second is None:
        return _gone(name)
    for key in {**first, **second}:
        one, other = first.get(key, "none"), second.get(key, "none")
        if not _alike(one, other, within):
            return Check(name, f"{key}: {one}", f"{key}: {other}", holds=False)
    return Check(name, f"{len(first)} values", "the same", holds=True)


def _alike(one: object, other: object, within: float) -> bool:
    """Text and switches exactly; numbers within a share of the larger one."""
    numbers = [isinstance(value, int | float) and not isinstance(value, bool) for value in (one, other)]
    if not all(numbers):
        return one == other
    assert isinstance(one, int | float)
    assert isinstance(other, int | float)
    return abs(one - other) <= max(within, _ROUNDED) * max(abs(one), abs(other))
