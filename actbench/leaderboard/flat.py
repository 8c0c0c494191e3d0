"""A record as one flat row of plain values: what tables, CSV files and data frames are made of."""

from __future__ import annotations

from typing import Any

from actbench.budget import REFERENCE
from actbench.records.schema import Measurements, Record

_REFERENCE = str(REFERENCE.ceiling), str(REFERENCE.bits)

COLUMNS: dict[str, str] = {
    "workload": "workload",
    "method": "method",
    "version": "of the method's plugin",
    "options": "NAME=VALUE, separated by spaces",
    "ceiling": "as asked for; empty for the reference",
    "bits": "widths of weights and codes",
    "track": "inference or training",
    "division": "closed or open",
    "steps": "of recovery, or of training",
    "recipe": "of recovery",
    "last": "convolutions trained on the training track; empty for all",
    "normalisation": "training: what is kept of normalisations' inputs",
    "seed": "",
    "device": "",
    "status": "",
    "reason": "why the status is not ok",
    "metric": "",
    "quality": "in the metric's unit",
    "quality_low": "95 % interval",
    "quality_high": "95 % interval",
    "difference": "to the network without compression",
    "difference_low": "95 % interval, paired by image",
    "difference_high": "95 % interval, paired by image",
    "images": "of evaluation",
    "bits_per_value": "stored bits for each original value",
    "peak_ratio": "fp32 bits of the largest map / stored bits of the largest, worst image",
    "traffic_ratio": "the same for the sum over maps",
    "side_bits": "of an image: bit-maps, indices, scales",
    "static_bits": "of tables that no image changes",
    "macs": "multiply-accumulates of an image, deployed",
    "bit_operations": "of an image, deployed",
    "parameters": "deployed",
    "latency_ratio": "deployed / fp32, in turn",
    "memory_bytes": "peak of live tensors, one image",
    "saved_ratio": "training: bytes kept for backward, uncompressed / compressed",
    "payload_ratio": "training: the trained layers' inputs, fp32 / payloads",
    "peak_step_ratio": "training: peak memory of a step, compressed / uncompressed",
    "step_ratio": "training: time of a step, compressed / uncompressed",
    "encode_share": "training: of a step's time, encoding",
    "gradient_share": "training: of a step's time, the gradients of weights from what was saved",
    "largest_batch": "training: images whose step fits in the uncompressed network's peak",
    "gradient_cosine": "training: lowest cosine to the exact gradient of a weight",
    "record": "the record's file name",
}
"""Every column, and what it holds."""


def flat(record: Record) -> dict[str, Any]:
    """All columns; None for what was not measured."""
    spec = record.spec
    method = spec["method"]
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row |= {
        "workload": spec["workload"]["name"],
        "method": method["name"],
        "version": method["version"],
        "options": " ".join(f"{name}={value}" for name, value in method["options"].items()),
        "ceiling": "" if (spec["ceiling"], spec["bits"]) == _REFERENCE else spec["ceiling"],
        "bits": spec["bits"],
        "track": spec["track"],
        "division": spec["division"],
        "steps": spec["recover"],
        "recipe": spec.get("recipe", "protocol"),
        "last": spec.get("last"),
        "normalisation": spec.get("normalisation", "quantised") if spec["track"] == "training" else None,
        "seed": spec["seed"],
        "device": spec["device"],
        "status": record.status,
        "reason": record.reason,
        "record": f"{record.key}-{record.attempt}.json",
    }
    return row | _measured(record.measurements)


def _measured(measured: Measurements) -> dict[str, Any]:
    row: dict[str, Any] = {}
    if quality := measured.quality:
        row |= {
            "metric": f"{quality.metric} {quality.unit}".strip(),
            "quality": quality.value,
            "quality_low": quality.interval[0],
            "quality_high": quality.interval[1],
            "difference": quality.difference,
            "difference_low": quality.difference_interval[0],
            "difference_high": quality.difference_interval[1],
            "images": quality.images,
        }
    if footprint := measured.footprint:
        row |= {
            "bits_per_value": footprint.bits_per_value,
            "peak_ratio": footprint.reference_peak / max(1, footprint.peak.maximum),
            "traffic_ratio": footprint.reference_traffic / max(1, footprint.traffic.maximum),
            "side_bits": footprint.side_bits,
            "static_bits": footprint.static_bits,
        }
    if compute := measured.compute:
        row |= {"macs": compute.macs, "bit_operations": compute.bit_operations}
    if measured.parameters:
        row["parameters"] = measured.parameters.deployed
    if measured.latency:
        row["latency_ratio"] = measured.latency.ratio
    if measured.memory:
        row["memory_bytes"] = measured.memory.peak_bytes
    if training := measured.training:
        row |= {
            "saved_ratio": training.reference_saved_bytes / max(1, training.saved_bytes),
            "peak_step_ratio": training.peak_bytes / max(1, training.reference_peak_bytes),
            "step_ratio": training.step.ratio,
            "largest_batch": training.largest_batch,
            "encode_share": _share(training.encode_seconds, training.step.subject.median),
            "gradient_share": _share(training.gradient_seconds, training.step.subject.median),
            "gradient_cosine": min((gradient.cosine for gradient in training.gradients), default=None),
        }
        if training.payload_bytes is not None:
            row["bits_per_value"] = 32 * training.payload_bytes / max(1, training.reference_payload_bytes)
            row["payload_ratio"] = training.reference_payload_bytes / max(1, training.payload_bytes)
    return row


def _share(part: float | None, whole: float) -> float | None:
    return None if part is None else part / whole
