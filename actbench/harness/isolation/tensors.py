"""Tensors in files that are only in memory, so that another process can have them without a copy, and only if it is
given the file."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping

from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor


def write(descriptor: int, tensors: Mapping[str, Tensor], **text: object) -> None:
    """Fills a file with tensors and with plain JSON values."""
    data = save(
        {name: tensor.contiguous() for name, tensor in tensors.items()},
        {name: json.dumps(value) for name, value in text.items()},
    )
    with os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(data)


def memory_file(name: str) -> int:
    """A new empty file in memory; on a disk, without a name, where the system has no such files."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create(name)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def read(descriptor: int, name: str) -> Tensor:
    """One tensor of a file, as a view of it."""
    with safe_open(_path(descriptor), framework="pt") as file:
        tensor: Tensor = file.get_tensor(name)
        return tensor


def _path(descriptor: int) -> str:
    return f"/proc/self/fd/{descriptor}" if os.path.isdir("/proc/self/fd") else f"/dev/fd/{descriptor}"
