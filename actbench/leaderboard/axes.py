"""What quality is drawn against: columns of a row, each of them a footprint, a time, or memory."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Axis:
    """One choice of the plot: a column of `flat.COLUMNS`. `ceiling`: the kind of ceiling that is on it, if any;
    `rising`: more is better."""

    column: str
    title: str
    rising: bool = True
    ceiling: str = ""


def axes(track: str) -> tuple[Axis, ...]:
    """Of a track; the first is shown first."""
    return _TRAINING if track == "training" else _INFERENCE


_INFERENCE = (
    Axis("peak_ratio", "largest map: fp32 bits / stored bits", ceiling="peak"),
    Axis("traffic_ratio", "sum of all maps: fp32 bits / stored bits", ceiling="traffic"),
    Axis("latency_ratio", "latency: deployed / fp32", rising=False),
    Axis("memory_bytes", "peak memory of an image, bytes", rising=False),
)
_TRAINING = (
    Axis("payload_ratio", "payloads of the trained layers' inputs: fp32 bits / stored bits", ceiling="traffic"),
    Axis("saved_ratio", "all that is kept for backward: uncompressed bytes / kept bytes"),
    Axis("peak_step_ratio", "peak memory of a step: compressed / uncompressed", rising=False),
    Axis("step_ratio", "time of a step: compressed / uncompressed", rising=False),
)
