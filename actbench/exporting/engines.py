"""What runs a file that was written: onnxruntime, or torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from actbench.errors import UserError
from actbench.exporting.agreement import Network
from actbench.exporting.deployment import Format

_ERRORS_ONLY = 3


def engine(form: Format, path: Path) -> Network:
    """Loads a file, to be run on the CPU on as many threads as torch has. Raises UserError without onnxruntime."""
    return _onnxruntime(path) if form == "onnx" else torch.export.load(path).module()


def _onnxruntime(path: Path) -> Callable[[Tensor], Any]:
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError('ONNX needs two packages that are not installed: pip install "actbench[onnx]"') from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = _ERRORS_ONLY
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    images = session.get_inputs()[0].name
    return lambda x: [torch.from_numpy(values) for values in session.run(None, {images: x.numpy()})]
