"""What quality is drawn against: footprints, time and memory, each as a number of a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from actbench.records.schema import Measurements


@dataclass(frozen=True)
class Axis:
    """One choice of the plot. `ceiling`: the kind of ceiling that is on it, if any; `rising`: more is better."""

    name: str
    title: str
    value: Callable[[Measurements], float | None]
    rising: bool = True
    ceiling: str = ""


def axes(track: str) -> tuple[Axis, ...]:
    """Of a track; the first is shown first."""
    return _TRAINING if track == "training" else _INFERENCE


def _peak(measured: Measurements) -> float | None:
    footprint = measured.footprint
    return footprint.reference_peak / max(1, footprint.peak.maximum) if footprint else None


def _traffic(measured: Measurements) -> float | None:
    footprint = measured.footprint
    return footprint.reference_traffic / max(1, footprint.traffic.maximum) if footprint else None


def _latency(measured: Measurements) -> float | None:
    return measured.latency.ratio if measured.latency else None


def _memory(measured: Measurements) -> float | None:
    return measured.memory.peak_bytes / 1024 if measured.memory else None


def _payload(measured: Measurements) -> float | None:
    training = measured.training
    if training is None or training.payload_bytes is None:
        return None
    return training.reference_payload_bytes / max(1, training.payload_bytes)


def _saved(measured: Measurements) -> float | None:
    training = measured.training
    return training.reference_saved_bytes / max(1, training.saved_bytes) if training else None


def _peak_of_step(measured: Measurements) -> float | None:
    training = measured.training
    return training.peak_bytes / max(1, training.reference_peak_bytes) if training else None


def _step(measured: Measurements) -> float | None:
    return measured.training.step.ratio if measured.training else None


_INFERENCE = (
    Axis("peak", "largest map: fp32 bits / stored bits", _peak, ceiling="peak"),
    Axis("traffic", "sum of all maps: fp32 bits / stored bits", _traffic, ceiling="traffic"),
    Axis("latency", "latency: deployed / fp32", _latency, rising=False),
    Axis("memory", "peak memory of an image, KiB", _memory, rising=False),
)
_TRAINING = (
    Axis("payload", "payloads of the trained layers' inputs: fp32 bits / stored bits", _payload, ceiling="traffic"),
    Axis("saved", "all that is kept for backward: uncompressed bytes / kept bytes", _saved),
    Axis("peak", "peak memory of a step: compressed / uncompressed", _peak_of_step, rising=False),
    Axis("step", "time of a step: compressed / uncompressed", _step, rising=False),
)
