"""Writes a compressed network into a folder, checked: the network, its maps and what is known of both."""

from __future__ import annotations

import hashlib
import itertools
import json
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx

from actbench import __version__
from actbench.errors import UserError
from actbench.exporting.agreement import LARGEST, TOLERANCE, Agreement, OtherOutputs, compare
from actbench.exporting.deployment import Deployment, Format
from actbench.exporting.engines import engine
from actbench.exporting.graph import OPSET
from actbench.exporting.maps_table import maps_table
from actbench.exporting.onnx_model import onnx_model
from actbench.exporting.program import record_program, save_program
from actbench.measure.footprint import Meter, measure_footprint
from actbench.measure.latency import interleaved
from actbench.measure.tables import static_bits
from actbench.network.conventions import live_peak
from actbench.network.deploy import deploy
from actbench.network.splice import Spliced
from actbench.records.parts.footprint import Footprint
from actbench.records.parts.latency import Comparison

_FILES: dict[Format, str] = {"onnx": "network.onnx", "torch": "network.pt2"}
_PACKAGES = ("torch", "onnx", "onnxruntime", "numpy")


@dataclass(frozen=True)
class Exported:
    """What was written, and how it was checked. `latency`: seconds of one image beside the deployed form's."""

    folder: Path
    form: Format
    agreement: Agreement
    latency: Comparison
    sizes: dict[str, int]

    def __str__(self) -> str:
        ours, theirs = 1e3 * self.latency.subject.median, 1e3 * self.latency.baseline.median
        runner = "onnxruntime" if self.form == "onnx" else "the program"
        files = ", ".join(f"{name} {size / 1024:,.1f} KiB" for name, size in self.sizes.items())
        return (
            f"{self.folder}: {files}\n{self.agreement}\n"
            f"latency of an image: {runner} {ours:.2f} ms, deployed form {theirs:.2f} ms, {self.latency.ratio:.2f}x"
        )


def write_export(deployment: Deployment, folder: Path, form: Format, batches: Iterable[Tensor]) -> Exported:
    """Writes `network.onnx` or `network.pt2`, `maps.csv` and `export.json` into a new folder, once what was written has
    been loaded again and gives the outputs of the deployed network on all batches of images (n, C, H, W).

    Raises OtherOutputs where it does not, Unsupported where the form cannot hold the network, UserError for a folder
    that has something in it; nothing is left then.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty: name a new folder")
    remaining = iter(batches)
    first = next(remaining, None)
    if first is None:
        raise UserError("export needs images, to compare what was written on them: there are none")
    deployed = deploy(deployment.spliced, deployment.budget.bits.weights)
    deployed.module.cpu()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as name:
        path = Path(name) / _FILES[form]
        _write_network(deployed.module, deployment.budget.bits.weights, form, first, path)
        written = engine(form, path)
        with Meter(deployed) as meter:
            agreement = compare(deployed.module, written, itertools.chain([first], remaining))
        if not agreement.holds:
            raise OtherOutputs(f"what was written gives other outputs, and is not kept: {agreement}")
        latency = _timed(written, deployed.module, first[:1])
        footprint = _footprint(deployment, deployed, meter)
        table = maps_table(deployment.network, deployment.spliced.codecs(), footprint)
        (Path(name) / "maps.csv").write_text(table, "utf-8")
        described = _described(deployment, form, agreement, latency, footprint, Path(name))
        (Path(name) / "export.json").write_text(json.dumps(described, indent=1) + "\n", "utf-8")
        folder.mkdir(exist_ok=True)
        files = sorted(Path(name).iterdir())
        sizes = {file.name: file.stat().st_size for file in files}
        for file in files:
            file.replace(folder / file.name)
    return Exported(folder, form, agreement, latency, sizes)


def _write_network(module: fx.GraphModule, weight_bits: int, form: Format, images: Tensor, path: Path) -> None:
    if form == "torch":
        save_program(record_program(module, images), path)
    else:
        path.write_bytes(onnx_model(module, weight_bits, images).SerializeToString())


@torch.no_grad()
def _timed(written: Any, module: fx.GraphModule, image: Tensor) -> Comparison:
    return interleaved(lambda: written(image), lambda: module(image), batch=1, device=torch.device("cpu"))


def _footprint(deployment: Deployment, deployed: Spliced, meter: Meter) -> Footprint:
    network, bits = deployment.network, deployment.budget.bits.weights
    tables, limit = static_bits(deployed, bits), deployment.budget.ceiling.limit(network.maps)
    codecs = deployment.spliced.codecs()
    return measure_footprint(network, codecs, tables, meter, limit, live_peak(network, {}))


def _described(
    deployment: Deployment,
    form: Format,
    agreement: Agreement,
    latency: Comparison,
    footprint: Footprint,
    folder: Path,
) -> dict[str, Any]:
    """What `export.json` holds."""
    return {
        "actbench": __version__,
        "format": form,
        **({"opset": OPSET} if form == "onnx" else {}),
        "method": deployment.method,
        "budget": str(deployment.budget),
        **deployment.about,
        "input": list(deployment.network.input_shape),
        "bits": {kind: footprint.counted(kind)[0] for kind in ("peak", "traffic", "live")},
        "agreement": asdict(agreement) | {"largest_allowed": LARGEST, "typical_allowed": TOLERANCE},
        "latency": {
            "threads": torch.get_num_threads(),
            "written_seconds": latency.subject.median,
            "deployed_seconds": latency.baseline.median,
            "ratio": latency.ratio,
            "ratio_quartiles": list(latency.ratio_quartiles),
        },
        "versions": dict(_versions()),
        "files": {path.name: _digest(path) for path in sorted(folder.iterdir())},
    }


def _versions() -> Iterable[tuple[str, str]]:
    for package in _PACKAGES:
        try:
            yield package, version(package)
        except PackageNotFoundError:
            continue


def _digest(path: Path) -> str:
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
