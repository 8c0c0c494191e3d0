"""Checkpoints that run code, lie about what is in them, or never end."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import socket
import struct
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save, save_file

from actbench.workloads.identify import checkpoint
from actbench.workloads.zoo.residual import ResidualNetwork
from tests.attacks.attempt import Kind, one_by_one
from tests.attacks.commands import actbench, check_refused, check_refused_or_harmless

import_module("actbench.network.trace")  # once, and not in each of the forked processes

Writing = Callable[[Path], object]

CANARY = "executed"
"""A file that code in a checkpoint would write into the current folder."""


class Running:
    """A pickle that calls something when it is read."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def state() -> dict[str, torch.Tensor]:
    return dict(ResidualNetwork().state_dict())


def saved(value: Any, **more: Any) -> Writing:
    return lambda path: torch.save(value() if callable(value) else value, path, **more)


def pickled(value: Any, protocol: int = 2) -> Writing:
    return lambda path: path.write_bytes(pickle.dumps(value, protocol))


def raw(content: bytes) -> Writing:
    return lambda path: path.write_bytes(content)


def with_first(change: Callable[[torch.Tensor], Any]) -> Writing:
    """A state dictionary in which the first tensor is another."""

    def write(path: Path) -> None:
        changed: dict[str, Any] = state()
        name = next(iter(changed))
        torch.save(changed | {name: change(changed[name])}, path)

    return write


def safetensors(header: Any, content: bytes = b"", size: int | None = None) -> Writing:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return raw(struct.pack("<Q", len(text) if size is None else size) + text + content)


def described(**more: Any) -> dict[str, Any]:
    return {"conv": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | more}


def rezipped(change: Callable[[str, bytes], bytes], compression: int = zipfile.ZIP_STORED) -> Writing:
    """A checkpoint of torch with changed parts."""

    def write(path: Path) -> None:
        torch.save(state(), whole := io.BytesIO())
        with zipfile.ZipFile(whole) as source, zipfile.ZipFile(path, "w", compression) as target:
            for name in source.namelist():
                target.writestr(name, change(name, source.read(name)))

    return write


def bomb(path: Path) -> None:
    """Half a gibibyte of zeros in half a mebibyte."""
    torch.save({"conv": torch.zeros(1)}, whole := io.BytesIO())
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as target:
        for name in source.namelist():
            with target.open(name, "w", force_zip64=True) as file:
                file.write(source.read(name))
                for _ in range(512 if name.endswith("data/0") else 0):
                    file.write(bytes(1 << 20))


def with_pickle(content: bytes) -> Writing:
    return rezipped(lambda name, part: content if name.endswith("data.pkl") else part)


def rebuilt(*arguments: Any) -> Writing:
    """A call of what rebuilds tensors, with arguments of our own."""
    return saved(lambda: {"conv": Running(torch._utils._rebuild_tensor_v2, *arguments)})


def truncated(path: Path) -> None:
    path.write_bytes(checkpoint("shapes").read_bytes()[:5000])


def prefixed(path: Path) -> None:
    save_file({f"net.{name}": value for name, value in state().items()}, path)


def socketed(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))


def unreadable(path: Path) -> None:
    path.symlink_to("/proc/self/mem")


CODE = f"open({CANARY!r}, 'w').close()"
DEEP: Any = []
for _ in range(400):
    DEEP = [DEEP]

PICKLES: dict[str, Writing] = {
    "exec": pickled(Running(exec, CODE)),
    "eval in a state": saved({"conv": Running(eval, CODE)}),
    "os.system": pickled(Running(os.system, f"touch {CANARY}")),
    "os.system in an old file": saved(
        {"conv": Running(os.system, f"touch {CANARY}")}, _use_new_zipfile_serialization=False
    ),
    "torch.load in a pickle": saved({"conv": Running(torch.load, "weights.pt")}),
    "a class of ours": saved({"conv": Running(ResidualNetwork)}),
    "a whole module": saved(ResidualNetwork),
    "getattr": pickled(Running(getattr, "", "join")),
    "a write": pickled(Running(open, CANARY, "w")),
    "protocol 5": pickled(Running(exec, CODE), 5),
    "opcodes by hand": raw(b"cposix\nsystem\n(S'touch " + CANARY.encode() + b"'\ntR."),
    "opcodes in a zip": with_pickle(b"\x80\x02cposix\nsystem\nX\x08\x00\x00\x00touch ex\x85R."),
    "a persistent name": with_pickle(b"\x80\x02X\x01\x00\x00\x00xQ."),
    "nested pickles": saved(DEEP),
    "a cycle": with_pickle(b"\x80\x02]q\x00h\x00a."),
    "no pickle at all": with_pickle(b"garbage"),
    "an empty pickle": with_pickle(b""),
    "a stop": with_pickle(b"."),
    "a huge memo": with_pickle(b"\x80\x02Nr\xff\xff\xff\xff."),
    "a huge string": with_pickle(b"\x80\x02X\xff\xff\xff\x7fx."),
    "a huge number": with_pickle(b"\x80\x02\x8b\xff\xff\xff\x7fx."),
    "rebuilt of nothing": rebuilt(),
    "rebuilt of numbers": rebuilt(1, 2, 3, 4, 5, 6),
    "rebuilt beyond its storage": rebuilt(torch.UntypedStorage(4), 0, (1 << 40,), (1,), False, OrderedDict()),
    "rebuilt before its storage": rebuilt(torch.UntypedStorage(4), -8, (1,), (1,), False, OrderedDict()),
}

COMPLEX = with_first(lambda tensor: tensor.to(torch.complex64))
"""Torch takes the real part: other weights, with their own digest."""

CONTENTS: dict[str, Writing] = {
    "a tensor": saved(torch.zeros(3)),
    "a list": saved([torch.zeros(3)]),
    "a number": saved(5),
    "nothing": saved(None),
    "a state that is a number": saved({"state_dict": 5}),
    "a state that is a list": saved({"state_dict": [1]}),
    "numbers for names": saved({1: torch.zeros(2)}),
    "texts for tensors": saved(lambda: dict.fromkeys(state(), "text")),
    "nothing for tensors": saved(lambda: dict.fromkeys(state())),
    "an empty state": saved({}),
    "another shape": with_first(lambda tensor: tensor[:1, :1]),
    "no dimension": with_first(lambda tensor: torch.tensor(1.0)),
    "a dimension of nothing": with_first(lambda tensor: tensor[:0]),
    "sparse": with_first(lambda tensor: tensor.to_sparse()),
    "without a memory": with_first(lambda tensor: tensor.to("meta")),
    "complex": COMPLEX,
    "quantised": with_first(lambda tensor: torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8)),
    "a name more": saved(lambda: {**state(), "\x1b[2J\nx": torch.zeros(1)}),
    "other names": prefixed,
}

ZIPS: dict[str, Writing] = {
    "a bomb": bomb,
    "half a zip": lambda path: (saved(state)(path), os.truncate(path, path.stat().st_size // 2)),
    "short storages": rezipped(lambda name, part: part[:4] if "/data/" in name else part),
    "compressed": rezipped(lambda name, part: part[:4] if "/data/" in name else part, zipfile.ZIP_BZIP2),
    "a version of the future": rezipped(lambda name, part: b"99999999" if name.endswith("version") else part),
    "a byte order of its own": rezipped(lambda name, part: b"middle" if name.endswith("byteorder") else part),
    "an empty zip": raw(b"PK\x05\x06" + bytes(18)),
    "a zip of something else": lambda path: zipfile.ZipFile(path, "w").writestr("../../x", "y"),
}

SAFETENSORS: dict[str, Writing] = {
    "truncated": truncated,
    "a header of 2⁶³ bytes": safetensors({}, size=1 << 63),
    "a header of 100 MB": safetensors({}, size=100_000_000),
    "no JSON": safetensors(b"{"),
    "a list": safetensors([]),
    "not UTF-8": safetensors(b'{"\xff": 1}'),
    "offsets beyond the end": safetensors(described(data_offsets=[0, 1 << 40]), bytes(8)),
    "offsets that fall": safetensors(described(data_offsets=[8, 0]), bytes(8)),
    "negative offsets": safetensors(described(data_offsets=[-8, 0]), bytes(8)),
    "a shape beyond its bytes": safetensors(described(shape=[1 << 62, 4]), bytes(8)),
    "a type of its own": safetensors(described(dtype="F7"), bytes(8)),
    "one name twice": safetensors(b'{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"a":1}'),
    "a hole": safetensors(described(data_offsets=[8, 16]), bytes(16)),
    "more than it says": lambda path: path.write_bytes(save({"a": torch.zeros(2)}) + b"more"),
    "a nested header": safetensors(b"[" * 100_000),
    "another network": prefixed,
    "a pickle": pickled(Running(exec, CODE)),
}

PLACES: dict[str, Writing] = {
    "nothing": raw(b""),
    "text": raw(b"weights"),
    "zeros": raw(bytes(1 << 20)),
    "a pipe": lambda path: os.mkfifo(path),
    "a socket": socketed,
    "a folder": lambda path: path.mkdir(),
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "chance": lambda path: path.symlink_to("/dev/urandom"),
    "memory of the process": unreadable,
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "a terabyte of nothing": lambda path: (path.touch(), os.truncate(path, 1 << 40)),
}


def attempts(chance: random.Random) -> Mapping[str, tuple[str, Writing]]:
    """Each as what it is called, and how it is written."""
    made = {f"pickle: {name}": ("weights.pt", writing) for name, writing in (PICKLES | CONTENTS | ZIPS).items()}
    made |= {f"safetensors: {name}": ("weights.safetensors", writing) for name, writing in SAFETENSORS.items()}
    for suffix in ("pt", "safetensors"):
        made |= {f"{suffix}: {name}": (f"weights.{suffix}", writing) for name, writing in PLACES.items()}
    strange = os.fsdecode(b"\xff\x1b[2J.pt")
    return made | {"a name that is no text": (strange, raw(b"weights"))}


def check_refused_checkpoint(attempt: tuple[str, Writing], folder: Path) -> None:
    """Raises AssertionError where a checkpoint runs code, or is not refused in one line."""
    name, write = attempt
    with warnings.catch_warnings(action="ignore"):
        write(folder / name)
    said = actbench("maps", "--workload", "shapes", "--weights", folder / name)
    (check_refused_or_harmless if write is COMPLEX else check_refused)(said)
    assert not (folder / CANARY).exists(), "code was run"
    assert not (folder / "ex").exists(), "code was run"


CHECKPOINTS = Kind("checkpoints", 52, attempts, one_by_one(check_refused_checkpoint, 60))
