"""The table of a run: one row a cell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from actbench.cli.tables import new_table, print_whole

if TYPE_CHECKING:
    from actbench.records.schema import Measurements, Record

_STYLES = {"ok": "green", "unsupported": "dim", "over_ceiling": "yellow"}
_NUMBERS = ("Δ to fp32", "peak", "traffic", "bits/value", "MACs", "latency", "memory")
LEGEND = (
    "± half of the 95 % bootstrap interval, paired for Δ. peak, traffic: fp32 bits / stored bits, the worst image. "
    "latency: deployed form / fp32. memory: peak of live tensors, one image."
)


TRAINING_LEGEND = (
    "± half of the 95 % bootstrap interval, paired for Δ. saved: bytes that autograd kept for backward, of the network "
    "without compression / with it; payload: those of the trained layers' inputs alone, as papers count them. peak: of "
    "live tensors in a step, step: its time, both with / without. gradient: the lowest cosine to the exact one."
)


def print_table(records: Sequence[Record]) -> None:
    """One row a record, and what its columns mean."""
    training = [record for record in records if record.spec["track"] == "training"]
    inference = [record for record in records if record.spec["track"] == "inference"]
    for rows, table, legend in (
        (inference, results_table, LEGEND),
        (training, training_table, TRAINING_LEGEND),
    ):
        if rows:
            print_whole(table(rows))
            Console().print(legend, highlight=False, soft_wrap=True)


def training_table(records: Sequence[Record]) -> Table:
    """Quality beside that of training without compression; memory and time of a step as ratios."""
    seeds = len({record.spec["seed"] for record in records}) > 1
    table = new_table()
    for column in ("method", "ceiling", "bits", "last", *(["seed"] if seeds else [])):
        table.add_column(column, no_wrap=True)
    for column in (escape(_quality_name(records)), "Δ to vanilla", "saved", "payload", "peak", "step", "gradient"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    for method, record in zip(method_names(records), records, strict=True):
        spec = record.spec
        ceiling = "–" if spec["ceiling"] == "1x" else spec["ceiling"].removeprefix("traffic:")
        names = (method, ceiling, spec["bits"], str(spec.get("last", "all")), *([str(spec["seed"])] if seeds else []))
        table.add_row(*map(escape, names), *_training_numbers(record.measurements), _status(record))
    return table


def _training_numbers(measured: Measurements) -> list[str]:
    quality, training = measured.quality, measured.training
    if not (quality and training):
        return ["–"] * 7
    return [
        f"{quality.value:.2f} ± {_half(quality.interval):.2f}",
        f"{quality.difference:+.2f} ± {_half(quality.difference_interval):.2f}",
        f"{training.reference_saved_bytes / max(1, training.saved_bytes):.2f}x",
        "–"
        if training.payload_bytes is None
        else f"{training.reference_payload_bytes / max(1, training.payload_bytes):.2f}x",
        f"{training.peak_bytes / max(1, training.reference_peak_bytes):.2f}x",
        f"{training.step.ratio:.2f}x",
        f"{min((gradient.cosine for gradient in training.gradients), default=1.0):.3f}",
    ]


def _status(record: Record) -> str:
    return f"[{_STYLES.get(record.status, 'red')}]{record.status}"


def _quality_name(records: Sequence[Record]) -> str:
    measured = [record.measurements.quality for record in records if record.measurements.quality]
    return f"{measured[0].metric} {measured[0].unit}".strip() if measured else "quality"


def results_table(records: Sequence[Record]) -> Table:
    """Quality with its 95 % interval; peak and traffic of the footprint as ratios to fp32; latency as a ratio."""
    seeds = len({record.spec["seed"] for record in records}) > 1
    table = new_table()
    for column in ("method", "ceiling", "bits", *(["seed"] if seeds else [])):
        table.add_column(column, no_wrap=True)
    for column in (escape(_quality_name(records)), *_NUMBERS):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    methods = method_names(records)
    for index, record in enumerate(records):
        spec = record.spec
        ceiling = "–" if spec["ceiling"] == "1x" else spec["ceiling"]
        names = (methods[index], ceiling, spec["bits"], *([str(spec["seed"])] if seeds else []))
        table.add_row(*map(escape, names), *_numbers(record.measurements), _status(record))
    return table


def method_names(records: Sequence[Record]) -> list[str]:
    """Each record's method, with those of its options in which records of that method differ."""
    methods = [record.spec["method"] for record in records]
    count = Counter(method["name"] for method in methods)
    values: dict[tuple[str, str], list[object]] = {}
    for method in methods:
        for option, value in method["options"].items():
            values.setdefault((method["name"], option), []).append(value)
    alike = {key for key, given in values.items() if given == given[:1] * count[key[0]]}

    def shown(method: dict[str, Any]) -> list[str]:
        return [f"{name}={value}" for name, value in method["options"].items() if (method["name"], name) not in alike]

    return [" ".join([method["name"], *shown(method)]) for method in methods]


def _numbers(measured: Measurements) -> list[str]:
    quality, footprint, compute = measured.quality, measured.footprint, measured.compute
    latency, memory = measured.latency, measured.memory
    if not (quality and footprint and compute and latency and memory):
        return ["–"] * (1 + len(_NUMBERS))
    return [
        f"{quality.value:.2f} ± {_half(quality.interval):.2f}",
        f"{quality.difference:+.2f} ± {_half(quality.difference_interval):.2f}",
        f"{footprint.reference_peak / max(1, footprint.peak.maximum):.2f}x",
        f"{footprint.reference_traffic / max(1, footprint.traffic.maximum):.2f}x",
        f"{footprint.bits_per_value:.2f}",
        _scaled(compute.macs),
        f"{latency.ratio:.2f}x",
        f"{memory.peak_bytes / 1024:,.0f} KiB",
    ]


def _half(interval: tuple[float, float]) -> float:
    return (interval[1] - interval[0]) / 2


def _scaled(number: int) -> str:
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return str(number)
