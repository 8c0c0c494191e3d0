"""Records that nothing measured, for the tests of leaderboards."""

from collections.abc import Sequence
from typing import Any

from actbench.budget import REFERENCE, Bits, Budget, Ceiling
from actbench.records.record import Record
from actbench.records.repetition import check_names
from actbench.records.verification import Verification, digest
from actbench.spec import CellSpec, MethodSpec, WorkloadSpec


def quality(value: float, half: float = 1.0, unit: str = "%", hits: Sequence[float] | None = None) -> dict[str, Any]:
    return {
        "metric": "top-1",
        "unit": unit,
        "value": value,
        "interval": (value - half, min(100.0, value + half)),
        "reference": 90.0,
        "difference": value - 90.0,
        "difference_interval": (value - 90.5, value - 89.5),
        "images": len(hits or range(100)),
        "per_image": hits,
        "reference_point": 10.0 if unit == "%" else None,
    }


def footprint(bits: int, limit: int | None = 1024) -> dict[str, Any]:
    spread = {"mean": bits, "percentile_99": bits, "maximum": bits}
    part = {"name": "conv", "channels": 2, "height": 4, "width": 4, "elements": 32, "producer": "stem"}
    stored = {"readers": ["conv"], "shared": False, "choices": {"bits": 8}, "bits": spread}
    convention = {"peak": 1, "traffic": 1, "reference_peak": 1, "reference_traffic": 1}
    return {
        "limit": limit,
        "peak": spread,
        "traffic": spread,
        "reference_peak": 1024,
        "reference_traffic": 1024,
        "bits_per_value": bits / 32,
        "side_bits": 0,
        "static_bits": 0,
        "maps": [part | stored | {"side_bits": 0, "static_bits": 0}],
        "activations": convention,
        "live": convention,
    }


def record(method: str, ceiling: str = "8x", value: float | None = 80.0, bits: int = 128, **more: Any) -> Record:
    budget = REFERENCE if ceiling == "1x" else Budget(Ceiling.parse(ceiling), Bits.parse("w8a2-8"))
    method_spec = MethodSpec(method, more.pop("version", "1"), more.pop("options", {}))
    seed = more.pop("seed", 0)
    # As a run has it: seeds draw the calibration images too, and the reference needs none.
    calibration = 0 if ceiling == "1x" else seed
    spec = CellSpec(WorkloadSpec("toy", {"data": "1"}), method_spec, budget, seed=seed, calibration=calibration)
    hits, parts = more.pop("hits", None), more.pop("parts", {})
    value = 100 * sum(hits) / len(hits) if hits else value
    limit = None if spec.is_reference else int(1024 / budget.ceiling.factor)
    kept = footprint(bits, limit)
    unit = more.pop("unit", "%")
    measured = {} if value is None else {"quality": quality(value, unit=unit, hits=hits), "footprint": kept} | parts
    status = "ok" if limit is None or bits <= limit else "over_ceiling"
    fields = {"status": status, "started": "2025-01-01T00:00:00+00:00", "seconds": 1.0, "measurements": measured}
    return Record.model_validate({"key": spec.key, "spec": spec.canonical()} | fields | more)


def mark(of: Record, holds: bool = True) -> Verification:
    """What a repetition of a record would have found."""
    checks = [{"name": name, "published": "1", "repeated": "1", "holds": holds} for name in sorted(check_names(of))]
    where = {"versions": {"torch": "2"}, "machine": {"cpu": "another"}, "revision": None}
    return Verification.model_validate(
        {"record": digest(of), "when": "2025-02-03T00:00:00+00:00", "checks": checks, "environment": where}
    )


RECORDS = [
    record("none", "1x", 90.0, 1024),
    record("quantize", "8x", 85.0, 128),
    record("quantize", "4x", 89.5, 256),
    record("wavelet", "8x", 84.5, 128),
    record("wavelet", "4x", 89.8, 250),
    record("wavelet", "16x", None, status="unsupported", reason="needs | 10 bits"),
    record("dropping", "8x", 70.0, 120),
]
