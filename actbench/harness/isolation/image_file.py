"""Evaluation images in a file without a name, so that a process has them only if it is given the file. The file has the
form of safetensors; images that fit into memory are mapped, and of others those are read that are asked for."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence

import torch
from torch import Tensor

from actbench.errors import UserError
from actbench.harness.isolation.tensors import read
from actbench.workloads.cache import cache_folder
from actbench.workloads.images import Images, ImageSet, StreamedImages

IN_MEMORY = 1 << 30
"""Bytes of images that are kept in memory; of more only those that are looked at."""

_AT_ONCE = 1 << 26
"""Bytes of images that are written together."""

_PARTS = ("pixels", "targets")

_DTYPES = {
    torch.uint8: "U8",
    torch.int16: "I16",
    torch.int32: "I32",
    torch.int64: "I64",
    torch.float16: "F16",
    torch.float32: "F32",
    torch.float64: "F64",
    torch.bool: "BOOL",
}
"""As safetensors calls them."""


def disk_file(name: str) -> int:
    """A new empty file on a disk, in the cache folder, for what may not fit into memory. It is gone when it is closed.
    Raises UserError where it cannot be made."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            return os.dup(file.fileno())
    except OSError as error:
        raise UserError(f"{name} have no place in {folder}: {error.strerror or error}") from error


def write_images(descriptor: int, images: Images) -> None:
    """Fills a file with images and their targets, some at a time."""
    first = dict(zip(_PARTS, images.read(slice(0, 1)), strict=True))
    sizes = {name: len(images) * tensor.nbytes for name, tensor in first.items()}
    offset = {"pixels": 0, "targets": sizes["pixels"]}
    entries = {
        name: {
            "dtype": _DTYPES[tensor.dtype],
            "shape": [len(images), *tensor.shape[1:]],
            "data_offsets": [offset[name], offset[name] + sizes[name]],
        }
        for name, tensor in first.items()
    }
    form = {name: json.dumps(value) for name, value in (("mean", images.mean), ("deviation", images.deviation))}
    header = json.dumps({"__metadata__": form, **entries}).encode()
    header += b" " * (-len(header) % 8)
    start = 8 + len(header)
    os.pwrite(descriptor, len(header).to_bytes(8, "little") + header, 0)
    at_once = max(1, _AT_ONCE // max(1, sum(tensor.nbytes for tensor in first.values())))
    for begin in range(0, len(images), at_once):
        for name, tensor in zip(_PARTS, images.read(slice(begin, begin + at_once)), strict=True):
            if tensor.dtype != first[name].dtype or tensor.shape[1:] != first[name].shape[1:]:
                raise UserError(f"images from number {begin} on have {name} of another form than the first")
            _write_at(descriptor, tensor, start + offset[name] + begin * first[name].nbytes)


def read_images(descriptor: int) -> Images:
    """The images of a file: in memory, or where they are too many read from it as they are asked for."""
    file = _ImageFile(descriptor)
    if os.fstat(descriptor).st_size <= IN_MEMORY:
        return ImageSet(read(descriptor, "pixels"), read(descriptor, "targets"), file.mean, file.deviation)
    return StreamedImages.of(file, file.mean, file.deviation)


class _ImageFile:
    """Images and targets in a file that is read in parts: its pages are not this process's memory."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        length = int.from_bytes(os.pread(descriptor, 8, 0), "little")
        header = json.loads(os.pread(descriptor, length, 8))
        self._start = 8 + length
        self._entries = {name: header[name] for name in _PARTS}
        self.mean, self.deviation = (tuple(json.loads(header["__metadata__"][name])) for name in ("mean", "deviation"))

    def __len__(self) -> int:
        return int(self._entries["pixels"]["shape"][0])

    def read(self, numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Reads the pixels and targets of some images."""
        pixels, targets = (torch.stack([self._one(name, number) for number in numbers]) for name in _PARTS)
        return pixels, targets

    def _one(self, name: str, number: int) -> Tensor:
        entry = self._entries[name]
        begin, end = entry["data_offsets"]
        size = (end - begin) // len(self)
        data = bytearray(os.pread(self._descriptor, size, self._start + begin + number * size))
        dtype = next(dtype for dtype, text in _DTYPES.items() if text == entry["dtype"])
        return torch.frombuffer(data, dtype=dtype).reshape(entry["shape"][1:])


def _write_at(descriptor: int, tensor: Tensor, offset: int) -> None:
    data = memoryview(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written
