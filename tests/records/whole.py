"""Records in which everything is there, of both tracks, for tests that change one thing of them."""

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

from actbench.budget import Bits, Budget, Ceiling
from actbench.settings import Inference, Settings, Training
from actbench.spec import CellSpec, MethodSpec, WorkloadSpec

ROUNDS = [0.5, 0.25, 0.75, 1.0, 0.5]


def spread(*samples: int) -> dict[str, Any]:
    low, high = sorted(samples)
    ends = {"mean": (low + high) / 2, "percentile_99": low + 0.99 * (high - low), "maximum": high}
    return ends | {"samples": list(samples) if low < high else None}


def timing(scale: float) -> dict[str, Any]:
    samples = [scale * second for second in ROUNDS]
    return {"median": 0.5 * scale, "quartiles": [0.5 * scale, 0.75 * scale], "samples": samples}


def comparison(batch: int) -> dict[str, Any]:
    both = {"subject": timing(2.0), "baseline": timing(1.0)}
    return {"batch": batch, **both, "ratio": 2.0, "ratio_quartiles": [2.0, 2.0]}


def stored(name: str, width: int, *samples: int) -> dict[str, Any]:
    size = {"channels": 2, "height": 4, "width": width, "elements": 8 * width}
    kept = {"choices": {"rank": 2, "start": "pca", "fold": True}, "bits": spread(*samples)}
    graph = {"producer": "relu", "readers": [name], "shared": False}
    return {"name": name, **size, **graph, **kept, "side_bits": 4.0, "static_bits": 16, "fallbacks": 1}


def quality() -> dict[str, Any]:
    return {
        "metric": "top-1",
        "unit": "%",
        "value": 50.0,
        "interval": [0.0, 100.0],
        "reference": 100.0,
        "difference": -50.0,
        "difference_interval": [-100.0, 0.0],
        "images": 2,
        "per_image": [1.0, 0.0],
        "reference_point": 10.0,
    }


def predicted_memory(batch: int) -> dict[str, Any]:
    largest = {"8 GiB": 80, "16 GiB": 160, "24 GiB": 240, "80 GiB": 800}
    return {"batch": batch, "allocated_bytes": 3 << 20, "reserved_bytes": 4 << 20, "largest_batch": largest}


def inference_measurements() -> dict[str, Any]:
    """Two maps of 1024 and 512 bits in fp32, under a ceiling of 8x."""
    footprint = {
        "limit": 128,
        "peak": spread(100, 120),
        "traffic": spread(140, 170),
        "reference_peak": 1024,
        "reference_traffic": 1536,
        "bits_per_value": 155 / 48,
        "side_bits": 8.0,
        "static_bits": 32,
        "activations": {"peak": 120, "traffic": 170, "reference_peak": 1024, "reference_traffic": 1536},
        "live": {"peak": 160, "traffic": None, "reference_peak": 1536, "reference_traffic": None},
        "maps": [stored("conv1", 4, 100, 120), stored("conv2", 2, 40, 50)],
    }
    macs = {"macs": 90, "macs_unfolded": 100, "reference_macs": 100}
    return {
        "recovery": {"recipe": {"batch": 64, "loss": "task"}, "losses": [2.0, 1.5, 1.25]},
        "quality": quality(),
        "footprint": footprint,
        "compute": {**macs, "bit_operations": 5760, "reference_bit_operations": 102400},
        "parameters": {"original": 10, "added": 2, "deployed": 11},
        "latency": {
            **comparison(16),
            "encode": 0.25,
            "decode": 0.125,
            "layers": 1.5,
            "single": comparison(1),
            "first_call": 3.0,
        },
        "memory": {
            "peak_bytes": 900,
            "reserved_bytes": None,
            "source": "tensors",
            "reference_peak_bytes": 1000,
            "timeline": [
                {"name": "conv1", "stored_bytes": 0, "peak_bytes": 900},
                {"name": "conv2", "stored_bytes": 12, "peak_bytes": 450},
            ],
            "whole": ["shuffle"],
        },
        "predicted_memory": predicted_memory(batch=16),
    }


def training_measurements() -> dict[str, Any]:
    """A batch of 4 images of 48 values, under a ceiling of 4x."""
    training = {
        "layers": ["conv1", "conv2"],
        "batch": 4,
        "saved_bytes": 500,
        "reference_saved_bytes": 1500,
        "payload_bytes": 190,
        "reference_payload_bytes": 768,
        "limit_bytes": 192,
        "peak_bytes": 3000,
        "reference_peak_bytes": 4000,
        "saved_by_module": {"conv1": 300, "conv2": 200},
        "choices": {"conv1": {"bits": 8}},
        "largest_batch": 6,
        "encode_seconds": 0.1,
        "gradient_seconds": 0.2,
        "step": comparison(4),
        "gradients": [{"name": "conv1.weight", "cosine": 0.75, "relative_error": 0.5}],
        "losses": [2.0, 1.5],
    }
    return {"training": training, "quality": quality(), "predicted_memory": predicted_memory(batch=4)}


def of(settings: Settings, ceiling: str, measurements: dict[str, Any]) -> dict[str, Any]:
    method = MethodSpec("wcc", "3", {"levels": 3, "shift": 0.5, "start": "pca", "fold": True})
    budget = Budget(Ceiling.parse(ceiling), Bits.parse("w8a2-8"))
    cell = CellSpec(WorkloadSpec("toy", {"data": "aa11"}, limit=2), method, budget, settings, seed=7)
    plugin = {"package": "actbench", "version": "3", "source": "ab" * 32}
    return {
        "format": 2,
        "key": cell.key,
        "spec": cell.canonical(),
        "attempt": 1,
        "status": "ok",
        "reason": "",
        "started": "2025-01-01T00:00:00+00:00",
        "seconds": 1.5,
        "measurements": deepcopy(measurements),
        "environment": {
            "versions": {"torch": "2"},
            "machine": {"cpu": "one", "threads": 2},
            "revision": "c0ffee",
            "plugin": plugin,
            "load": {"start": 0.5, "end": 1.25, "others": 0.1},
        },
        "warnings": ["slow"],
    }


def inference() -> dict[str, Any]:
    return of(Inference(recover=2), "8x", inference_measurements())


def training() -> dict[str, Any]:
    return of(Training(steps=2), "traffic:4x", training_measurements())


def written(data: dict[str, Any], folder: Path) -> Path:
    """The file of a record, in the place where a store keeps it."""
    path = folder / "records" / "toy" / f"{data['key']}-{data['attempt']}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
    return path


def at(data: Any, *path: Any, to: Any) -> Any:
    """The data, with what is at a path replaced."""
    part = data
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = to
    return data


def paths_in(data: Any, *before: Any) -> Iterator[tuple[Any, ...]]:
    """The path to every value, branches and leaves."""
    parts = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for name, part in parts:
        yield (*before, name)
        yield from paths_in(part, *before, name)
