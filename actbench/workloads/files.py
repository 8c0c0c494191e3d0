"""Files of a workload: digests of data and checkpoints (without torch), and checkpoints read without running code."""

from __future__ import annotations

import hashlib
import stat
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actbench.errors import UserError
from actbench.workloads.cache import CachedDigests, content_digest
from actbench.workloads.tree import DataFile, files_below

if TYPE_CHECKING:
    from torch import Tensor, nn


def file_digest(path: Path) -> str:
    """Computes the SHA-256 of a file's content, in hexadecimal. Raises UserError where it cannot be read."""
    _check_file(path)
    return content_digest(str(path))


def _check_file(path: Path) -> None:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would wait, and a device may have no end
            raise UserError(f"cannot read {path}: it is not a file")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error


def folder_digest(folder: Path, files: Sequence[DataFile] | None = None) -> str:
    """Computes the SHA-256 over names and contents of all files in a folder and below, links followed, in the order of
    their names; `files`, where they are listed already. What was read before is not read again. Raises UserError where
    there is no file or one cannot be read."""
    files = files_below(folder) if files is None else files
    if not files:
        raise UserError(f"data folder {folder} holds no file")
    digest = hashlib.sha256()
    with CachedDigests(folder, files) as digests:
        for file in files:
            digest.update(file.name.encode("utf-8", "surrogateescape") + b"\0")
            digest.update(bytes.fromhex(digests.of(file)))
    return digest.hexdigest()


def load_weights(model: nn.Module, path: Path) -> None:
    """Fills a model, in place, from a checkpoint: safetensors, or a state dictionary saved by torch (read with
    `weights_only`). A prefix `module.` of its names is left out.

    Raises UserError, in one line, where the file is damaged or belongs to another model.
    """
    fill_model(model, read_weights(path), path)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Reads a checkpoint as `load_weights` does. Raises UserError, in one line, where it is damaged."""
    from pickle import UnpicklingError

    _check_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is unusual in a file
            state = _state(path)
        return {name.removeprefix("module."): value for name, value in state.items()}
    except UnpicklingError as error:
        raise UserError(
            f"checkpoint {path} is no state dictionary of tensors ({_unpickled(error)}): save model.state_dict()"
        ) from error
    except Exception as error:  # what is raised of damaged files has no common kind
        raise UserError(f"cannot read checkpoint {path}: {_first_line(error)}; give another file") from error


def _state(path: Path) -> Any:
    """What a checkpoint holds, whatever that is."""
    import torch
    from safetensors.torch import load_file

    if path.suffix == ".safetensors":
        return load_file(path)
    state = torch.load(path, map_location="cpu", weights_only=True)
    return state.get("state_dict", state)


def fill_model(model: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    """Fills a model, in place, with the tensors of the checkpoint `path`. Raises UserError where they do not fit."""
    try:
        model.load_state_dict(state)
    except (RuntimeError, TypeError) as error:
        lines = str(error).splitlines()
        reason = (lines[1] if len(lines) > 1 else lines[0]).strip()
        raise UserError(f"checkpoint {path} does not fit {type(model).__name__}: {reason[:200]}") from error


def _unpickled(error: Exception) -> str:
    """What could not be read, without torch's advice to run the code in the file."""
    said = " ".join(str(error).rpartition("WeightsUnpickler error:")[2].split())
    return said.partition(". ")[0].partition(" Check the documentation")[0][:200]


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
