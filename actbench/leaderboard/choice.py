"""Which of several records to take: those within limits on loss and time, the fastest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from actbench.records.columns import column
from actbench.records.record import Record


@dataclass(frozen=True)
class Limits:
    """The most `loss`, in the metric's unit, and the most `latency` as a multiple of fp32's, None for any."""

    loss: float
    latency: float | None = None

    def broken_by(self, record: Record) -> str:
        """Why a record is not within the limits, in a few words; empty where it is."""
        if record.status != "ok":
            return f"{record.status}: {record.reason}"
        lost, latency = loss_of(record), latency_of(record)
        if lost is None or lost > self.loss:
            return f"loses {lost:.2f}" if lost is not None else "was not evaluated"
        if self.latency is not None and (latency is None or latency > self.latency):
            return f"takes {latency:.2f}x the time of fp32" if latency is not None else "was not timed"
        return ""


@dataclass(frozen=True)
class Choice:
    """What to take, None where nothing is within the limits; the records that no other is better than in loss, time
    and memory together; and why each of the others is not within the limits."""

    taken: Record | None
    front: tuple[Record, ...]
    refused: tuple[tuple[Record, str], ...]


def choose(records: Sequence[Record], limits: Limits) -> Choice:
    """Takes the fastest within the limits; of several that are as fast, what loses least."""
    reasons = [(record, limits.broken_by(record)) for record in records if not record.cell.is_reference]
    within = [record for record, reason in reasons if not reason]
    measured = [record for record, _ in reasons if record.status == "ok"]
    return Choice(
        min(within, key=lambda record: (latency_of(record) or float("inf"), loss_of(record) or 0.0), default=None),
        tuple(record for record in measured if not any(_beats(other, record) for other in measured)),
        tuple((record, reason) for record, reason in reasons if reason),
    )


def loss_of(record: Record) -> float | None:
    """What a record loses against the reference, in the metric's unit; below zero where it gains."""
    quality = record.measurements.quality
    return None if quality is None else -quality.sign * quality.difference


def latency_of(record: Record) -> float | None:
    """The deployed form's time as a multiple of fp32's."""
    value = column("latency_ratio").value(record)
    return value if isinstance(value, float) else None


def _beats(one: Record, other: Record) -> bool:
    """Whether one is nowhere worse, and better somewhere; what was not measured is worst."""
    costs, others = _costs(one), _costs(other)
    return all(a <= b for a, b in zip(costs, others, strict=True)) and costs != others


def _costs(record: Record) -> tuple[float, ...]:
    memory = column("memory_bytes").value(record)
    values = (loss_of(record), latency_of(record), float(memory) if isinstance(memory, int | float) else None)
    return tuple(float("inf") if value is None else value for value in values)
