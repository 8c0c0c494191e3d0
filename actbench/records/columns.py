"""All columns of a record: what tables, CSV files, data frames and comparisons are made of."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from actbench.info import Track
from actbench.records.column import Column, Value, ratio
from actbench.records.measurements import Measurements
from actbench.records.parts import compute, fit, footprint, integer, latency, memory, quality, training
from actbench.records.parts.part import Part
from actbench.records.record import Record
from actbench.settings import TRACKS
from actbench.spec import CellSpec

SomePart = TypeVar("SomePart", bound=Part)


def _of_part(
    part: Callable[[Measurements], SomePart | None], columns: Sequence[Column[SomePart]]
) -> list[Column[Record]]:
    """The columns of a part as columns of the record; a time says why it does not compare."""
    own: list[Column[Record]] = [column.of(lambda record: part(record.measurements)) for column in columns]
    return [replace(column, remarks=partial(_remarks, column)) if column.is_time else column for column in own]


def _remarks(time: Column[Record], record: Record) -> tuple[str, ...]:
    """`busy`: others used the machine. `unsteady`: the time's quartiles are far apart."""
    said = {"busy": record.busy, "unsteady": time.is_unsteady(record)}
    return tuple(word for word, holds in said.items() if holds)


def _of_cell(name: str, explanation: str, value: Callable[[CellSpec], Value]) -> Column[Record]:
    return Column(name, name, explanation, lambda record: value(record.cell))


def _of_settings() -> list[Column[Record]]:
    """One for each setting; a column that settings of two tracks share is described by the first."""
    said: dict[str, str] = {}
    for kind in TRACKS.values():
        for wording in kind.wordings().values():
            said.setdefault(wording.column, wording.help)
    return [_of_cell(name, explanation, _setting(name)) for name, explanation in said.items()]


def _setting(name: str) -> Callable[[CellSpec], Value]:
    return lambda cell: cell.settings.columns().get(name)


def _code_ratio(record: Record) -> float | None:
    bits, stored = record.cell.budget.bits, record.measurements.bits_per_value
    fixed = bits.low == bits.high and record.cell.settings.track == "inference"
    return bits.high / stored if fixed and stored else None


def _of_fp32(record: Record) -> float | None:
    footprint, ceiling = record.measurements.footprint, record.cell.budget.ceiling
    if record.cell.is_reference or ceiling.factor is not None:
        return None if ceiling.factor is None or record.cell.is_reference else float(ceiling.factor)
    return footprint.counted(ceiling.kind)[1] / max(1, ceiling.bits or 0) if footprint else None


COLUMNS: tuple[Column[Record], ...] = (
    _of_cell("protocol", "its version; rows of another one do not compare", lambda cell: cell.protocol),
    _of_cell("workload", "workload", lambda cell: cell.workload.name),
    _of_cell("method", "method", lambda cell: cell.method.name),
    _of_cell("version", "of the method's plugin", lambda cell: cell.method.version),
    _of_cell(
        "options",
        "of the method: NAME=VALUE, separated by spaces",
        lambda cell: " ".join(f"{name}={value}" for name, value in cell.method.options.items()),
    ),
    _of_cell(
        "ceiling",
        "as asked for; empty for the reference",
        lambda cell: "" if cell.is_reference else str(cell.budget.ceiling),
    ),
    Column(
        "of_fp32",
        "of fp32",
        "what the ceiling means for the network: bits in fp32 of what it counts / bits that it allows",
        _of_fp32,
        ratio,
    ),
    _of_cell("bits", "widths of weights and codes", lambda cell: str(cell.budget.bits)),
    _of_cell("track", "inference or training", lambda cell: cell.settings.track),
    _of_cell("division", "closed or open", lambda cell: cell.settings.division),
    *_of_settings(),
    _of_cell("seed", "of all that is random", lambda cell: cell.seed),
    _of_cell("device", "cpu or cuda", lambda cell: cell.device),
    Column("status", "status", "how the cell ended", lambda record: record.status),
    Column("reason", "reason", "why the status is not ok", lambda record: record.reason),
    *_of_part(lambda measured: measured.fit, fit.COLUMNS),
    *_of_part(lambda measured: measured.quality, quality.COLUMNS),
    Column(
        "bits_per_value",
        "bits/value",
        "stored bits for each original value, side information included; the mean over images",
        lambda record: record.measurements.bits_per_value,
        better="less",
    ),
    Column(
        "code_ratio",
        "code ratio",
        "where all codes have one width: bits of a code for each value / stored bits, the mean over images",
        _code_ratio,
        ratio,
        better="more",
    ),
    *_of_part(lambda measured: measured.footprint, footprint.COLUMNS),
    *_of_part(lambda measured: measured.compute, compute.COLUMNS),
    *_of_part(lambda measured: measured.parameters, compute.PARAMETER_COLUMNS),
    *_of_part(lambda measured: measured.integer, integer.COLUMNS),
    *_of_part(lambda measured: measured.latency, latency.COLUMNS),
    *_of_part(lambda measured: measured.memory, memory.COLUMNS),
    *_of_part(lambda measured: measured.predicted_memory, memory.PREDICTED_COLUMNS),
    *_of_part(lambda measured: measured.training, training.COLUMNS),
    Column("record", "record", "the record's file name", lambda record: record.file_name),
)
"""Every column, in the order of CSV files and data frames."""

IN_TABLES: dict[Track, tuple[str, ...]] = {
    "inference": (
        "quality",
        "difference",
        "peak_ratio",
        "traffic_ratio",
        "live_ratio",
        "bits_per_value",
        "own",
        "macs",
        "latency_ratio",
        "memory_bytes",
    ),
    "training": (
        "quality",
        "difference",
        "saved_ratio",
        "payload_ratio",
        "peak_step_ratio",
        "largest_batch",
        "step_ratio",
        "gradient_cosine",
    ),
}
"""The columns that tables show of what was measured on a track, on the terminal and on leaderboards alike."""

_BY_NAME = {column.name: column for column in COLUMNS}


def column(name: str) -> Column[Record]:
    """The column of this name."""
    return _BY_NAME[name]


def table_columns(track: Track) -> tuple[Column[Record], ...]:
    """What tables show of the records of a track."""
    return tuple(map(column, IN_TABLES[track]))


def legend(track: Track, left_out: Collection[str] = ()) -> list[str]:
    """What the columns of a track's tables mean, a line each, but for those that are left out."""
    return [f"{shown.title}: {shown.help}" for shown in table_columns(track) if shown.name not in left_out]


def field_names() -> list[str]:
    """The names of all fields of `flat`: a column, and behind one with an interval its ends."""
    return [name for column in COLUMNS for name in _fields(column)]


def flat(record: Record) -> dict[str, Any]:
    """A record as one row of plain values, by `field_names`; None for what was not measured."""
    row: dict[str, Any] = {}
    for shown in COLUMNS:
        ends = shown.interval(record) if shown.interval is not None else None
        row |= dict(zip(_fields(shown), (shown.value(record), *(ends or (None, None))), strict=False))
    return row


def _fields(shown: Column[Record]) -> list[str]:
    ends = [f"{shown.name}_low", f"{shown.name}_high"] if shown.interval is not None else []
    return [shown.name, *ends]
