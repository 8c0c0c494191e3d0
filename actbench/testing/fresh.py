"""Runs as `python -m actbench.testing.fresh FOLDER`: makes a plan, loads saved state, and decodes packed payloads."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from actbench.codec.codec import Codec
from actbench.codec.packing import FieldLayout, unpack
from actbench.testing.subject import Subject


def main(folder: Path) -> None:
    """Answers the request that `independence.fresh_process` wrote into a folder."""
    request = json.loads((folder / "request.json").read_text())
    files = [Path(file) for file in request["plugin_files"]]
    codecs = _plan(Subject(request["method"], request["options"], files), request["budget"])
    with torch.no_grad():
        decoded = {name: _decode(codecs[name], folder / name) for name in request["maps"]}
    save_file(decoded, folder / "decoded.safetensors")


def _plan(subject: Subject, budget: str) -> dict[str, Codec]:
    return dict(subject.plan(next(known for known in subject.budgets if str(known) == budget)))


def _decode(codec: Codec, folder: Path) -> Tensor:
    codec.load_state_dict(load_file(folder / "state.safetensors"))
    form = tuple(_field(part) for part in json.loads((folder / "layout.json").read_text()))
    paths = sorted(folder.glob("*.bin"), key=lambda path: int(path.stem))
    return codec.decode(unpack([path.read_bytes() for path in paths], form)).contiguous()


def _field(part: dict[str, object]) -> FieldLayout:
    shape = part["shape"]
    arguments = part | {
        "dtype": getattr(torch, str(part["dtype"])),
        "shape": tuple(shape) if isinstance(shape, list) else None,
    }
    return FieldLayout(**arguments)  # type: ignore[arg-type]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
