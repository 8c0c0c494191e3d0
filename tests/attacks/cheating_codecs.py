"""Codecs that store little and keep the rest elsewhere, in the ways that the harness's own tests do not have."""

from __future__ import annotations

import functools
import gc
import os
import sys
import threading
from typing import Any

import torch
from torch import Tensor

from actbench.codec import Codec, Field, Payload, floating, unsigned
from tests.harness.reaching import Cheating


class Marked(Codec):
    """Stores one bit an image; a subclass hides the rest in what it makes of the values."""

    def encode(self, x: Tensor) -> Payload:
        return Payload(flag=unsigned(self.hiding(torch.zeros(len(x), 1), x), 1))

    def decode(self, payload: Payload) -> Tensor:
        return self.found(payload["flag"])

    def hiding(self, values: Tensor, x: Tensor) -> Tensor:
        raise AssertionError

    def found(self, values: Tensor) -> Tensor:
        raise AssertionError


class OnTheTensor(Marked):
    def hiding(self, values: Tensor, x: Tensor) -> Tensor:
        values.pocket = x.clone()  # type: ignore[attr-defined]
        return values

    def found(self, values: Tensor) -> Tensor:
        return values.pocket  # type: ignore[attr-defined, no-any-return]


class InTheStorage(Marked):
    """The values are a view of a larger storage."""

    def hiding(self, values: Tensor, x: Tensor) -> Tensor:
        self.shape = x.shape[1:]
        hidden = torch.cat([torch.zeros(len(x), 1), x.flatten(1)], 1)
        return hidden[:, :1]

    def found(self, values: Tensor) -> Tensor:
        count = 1 + self.shape.numel()
        return values.as_strided((len(values), count), (count, 1))[:, 1:].reshape(-1, *self.shape)


class Wide(Tensor):
    pass


class InASubclass(Marked):
    def hiding(self, values: Tensor, x: Tensor) -> Tensor:
        wide = values.as_subclass(Wide)
        wide.pocket = x.clone()  # type: ignore[attr-defined]
        return wide

    def found(self, values: Tensor) -> Tensor:
        return values.pocket  # type: ignore[attr-defined, no-any-return]


class InTheGraph(Marked):
    """What autograd keeps of a product."""

    def hiding(self, values: Tensor, x: Tensor) -> Tensor:
        with torch.enable_grad():
            return values + 0 * (x.flatten(1).requires_grad_() ** 2).sum(1, keepdim=True)

    def found(self, values: Tensor) -> Tensor:
        graph: Any = values.grad_fn
        return graph.next_functions[1][0].next_functions[0][0]._saved_self  # type: ignore[no-any-return]


class InAClosure(Codec):
    def __init__(self) -> None:
        super().__init__()
        kept: list[Tensor] = []
        self.keep, self.kept = kept.append, lambda: kept[-1]

    def encode(self, x: Tensor) -> Payload:
        self.keep(x.clone())
        return Payload(flag=unsigned(torch.zeros(len(x), 1), 1))

    def decode(self, payload: Payload) -> Tensor:
        return self.kept()


class InTheClass(Cheating):
    shelf: dict[int, Tensor] = {}  # noqa: RUF012

    def hide(self, key: int, image: Tensor) -> None:
        InTheClass.shelf[key] = image

    def find(self, key: int) -> Tensor:
        return InTheClass.shelf.get(key, torch.zeros(8, 8, 8))


class InModules(Cheating):
    def hide(self, key: int, image: Tensor) -> None:
        vars(sys.modules["math"])[f"_{key}"] = image

    def find(self, key: int) -> Tensor:
        return vars(sys.modules["math"]).get(f"_{key}", torch.zeros(8, 8, 8))  # type: ignore[no-any-return]


class InTheEnvironment(Cheating):
    def hide(self, key: int, image: Tensor) -> None:
        os.environ[f"HIDDEN_{key}"] = image.numpy().tobytes().hex()

    def find(self, key: int) -> Tensor:
        content = bytes.fromhex(os.environ.get(f"HIDDEN_{key}", "00" * 2048))
        return torch.frombuffer(bytearray(content), dtype=torch.float32).view(8, 8, 8)


class InThread(Cheating):
    def hide(self, key: int, image: Tensor) -> None:
        vars(threading.main_thread())[f"_{key}"] = image

    def find(self, key: int) -> Tensor:
        return vars(threading.main_thread()).get(f"_{key}", torch.zeros(8, 8, 8))  # type: ignore[no-any-return]


@functools.cache
def pocket(key: int) -> list[Tensor]:
    return [torch.zeros(8, 8, 8)]


class InACache(Cheating):
    def hide(self, key: int, image: Tensor) -> None:
        pocket(key)[0] = image

    def find(self, key: int) -> Tensor:
        return pocket(key)[0]


class InSharedMemory(Cheating):
    def hide(self, key: int, image: Tensor) -> None:
        with open(f"/dev/shm/actbench-attack-{key}", "wb") as file:
            file.write(image.numpy().tobytes())

    def find(self, key: int) -> Tensor:
        with open(f"/dev/shm/actbench-attack-{key}", "rb") as file:
            return torch.frombuffer(bytearray(file.read()), dtype=torch.float32).view(8, 8, 8)


class FromGarbage(Cheating):
    """Finds the images among all objects of the process."""

    def hide(self, key: int, image: Tensor) -> None:
        self.lost = [*getattr(self, "lost", []), (key, image)]

    def find(self, key: int) -> Tensor:
        found = [thing for thing in gc.get_objects() if type(thing) is tuple and len(thing) == 2 and thing[0] is key]
        return next((image for _, image in found if isinstance(image, Tensor)), torch.zeros(8, 8, 8))


class InTheNames(Codec):
    """Writes values into the name of a field."""

    def encode(self, x: Tensor) -> Payload:
        self.shape = x.shape[1:]
        return Payload(**{"_" + x.numpy().tobytes().hex(): unsigned(torch.zeros(len(x), 1), 1)})

    def decode(self, payload: Payload) -> Tensor:
        content = bytearray(bytes.fromhex(next(iter(payload))[1:]))
        return torch.frombuffer(content, dtype=torch.float32).view(-1, *self.shape)


class Halves(Codec):
    """Floats of 32 bits that say 16."""

    def encode(self, x: Tensor) -> Payload:
        return Payload(values=Field(x, 16, "float"))

    def decode(self, payload: Payload) -> Tensor:
        return payload["values"]


class Negative(Codec):
    """Codes outside of the range that they claim."""

    def encode(self, x: Tensor) -> Payload:
        return Payload(codes=unsigned(-(x * 50).round(), 8))

    def decode(self, payload: Payload) -> Tensor:
        return -payload["codes"] / 50


class Fractions(Codec):
    """Codes that are no whole numbers."""

    def encode(self, x: Tensor) -> Payload:
        return Payload(codes=unsigned(x.clamp(0, 1), 1))

    def decode(self, payload: Payload) -> Tensor:
        return payload["codes"]


class Doubles(Codec):
    def encode(self, x: Tensor) -> Payload:
        return Payload(values=floating(x * torch.inf), flag=unsigned(torch.zeros(len(x), 1), 1))

    def decode(self, payload: Payload) -> Tensor:
        return payload["values"]


CODECS: tuple[type[Codec], ...] = (
    *(OnTheTensor, InTheStorage, InASubclass, InTheGraph, InAClosure, InTheClass, InModules, InTheEnvironment),
    *(InThread, InACache, InSharedMemory, FromGarbage, InTheNames, Halves, Negative, Fractions, Doubles),
)
