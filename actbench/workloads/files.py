"""Files of a workload: digests of data and checkpoints (without torch), and checkpoints read without running code."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from actbench.errors import UserError

if TYPE_CHECKING:
    from torch import nn

_CHUNK = 1 << 20


def file_digest(path: Path) -> str:
    """Computes the SHA-256 of a file's content, in hexadecimal. Raises UserError where it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    return digest.hexdigest()


def folder_digest(folder: Path) -> str:
    """Computes the SHA-256 over names and contents of all files in a folder and below, in the order of their names."""
    digest = hashlib.sha256()
    for path in _files(folder):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def listing_digest(folder: Path) -> str:
    """Computes the SHA-256 over names and sizes of all files in a folder and below, in the order of their names: for
    data that are too large to be read for each run."""
    digest = hashlib.sha256()
    for path in _files(folder):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\0".encode())
    return digest.hexdigest()


def load_weights(model: nn.Module, path: Path) -> None:
    """Fills a model, in place, from a checkpoint: safetensors, or a state dictionary saved by torch (read with
    `weights_only`). A prefix `module.` of its names is left out.

    Raises UserError, in one line, where the file is damaged or belongs to another model.
    """
    from pickle import UnpicklingError

    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
            state = state.get("state_dict", state)
        state = {name.removeprefix("module."): value for name, value in state.items()}
    except (SafetensorError, OSError, RuntimeError, ValueError, AttributeError, EOFError, LookupError) as error:
        raise UserError(f"cannot read checkpoint {path}: {_first_line(error)}; give another file") from error
    except UnpicklingError as error:
        raise UserError(f"checkpoint {path} holds more than weights: {_first_line(error)}") from error
    try:
        model.load_state_dict(state)
    except (RuntimeError, TypeError) as error:
        lines = str(error).splitlines()
        reason = (lines[1] if len(lines) > 1 else lines[0]).strip()
        raise UserError(f"checkpoint {path} does not fit {type(model).__name__}: {reason[:200]}") from error


def _files(folder: Path) -> list[Path]:
    """Lists all files in a folder and below, in the order of their names."""
    return sorted(Path(parent, name) for parent, _, names in os.walk(folder) for name in names)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
