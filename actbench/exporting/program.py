"""The deployed network as a program that `torch.export` records: no code of actbench or of a plugin in it."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, fx
from torch.export import Dim, ExportedProgram

from actbench.codec.protocols import Branchless
from actbench.errors import Unsupported
from actbench.exporting.quantizers import freeze_quantizers
from actbench.network.splice import Decode, Encode

_LEAST = 2
"""Images that a program is recorded with: of one, torch would take the number for fixed."""


def record_program(deployed: fx.GraphModule, images: Tensor, *, marked: bool = False) -> ExportedProgram:
    """Records a deployed network for any number of images like these (n, C, H, W). With `marked` quantisers are an
    operator each (see `quantizers`). Raises Unsupported, naming the map, where a codec cannot be followed: one that
    branches on values, or leaves torch."""
    module = copy.deepcopy(deployed).cpu().eval()
    _leave_strings_out(module)
    freeze_quantizers(module, marked=marked)
    example = images[:_LEAST].expand(_LEAST, -1, -1, -1).cpu().contiguous()
    try:
        with torch.no_grad(), _silence():
            program = torch.export.export(module, (example,), dynamic_shapes=({0: Dim.AUTO},), strict=False)
            # Without a table of decompositions nothing is taken apart; what is written in place no longer is.
            return program.run_decompositions({}) if marked else program
    except Exception as error:
        raise Unsupported(_reason(module, example, error)) from error


def save_program(program: ExportedProgram, path: Path) -> None:
    """Writes a program and its weights into one file: JSON and bytes of tensors. The example inputs are left out: torch
    would write them as a pickle."""
    program.example_inputs = None
    torch.export.save(program, path)


def _leave_strings_out(module: fx.GraphModule) -> None:
    """Has codecs that write strings store the values that these stand for: the strings lose nothing."""
    for stage in module.modules():
        if isinstance(stage, Encode) and isinstance(stage.codec, Branchless):
            stage.codec.encode = stage.codec.encode_values  # type: ignore[method-assign]


def _reason(module: fx.GraphModule, example: Tensor, error: Exception) -> str:
    """Which codec stopped the recording: the first that cannot be recorded alone."""
    said = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:200]
    for name, stage in _stages(module):
        if f"call_module[target={name}]" in str(error):
            return f"{stage.name}: {type(stage.codec).__name__} cannot be recorded by torch.export: {said}"
    return f"torch.export cannot record the network: {said}"


def _stages(module: fx.GraphModule) -> Iterator[tuple[str, Encode | Decode]]:
    yield from ((name, part) for name, part in module.named_modules() if isinstance(part, Encode | Decode))


@contextmanager
def _silence() -> Iterator[None]:
    """torch logs the graph that it could not finish, and warns of what concerns its developers."""
    logger = logging.getLogger("torch")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
