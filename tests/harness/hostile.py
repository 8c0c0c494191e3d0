"""A tiny workload, and methods that misbehave in every way that the harness has to survive."""

import os
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from actbench import MethodInfo, WorkloadInfo, hookimpl
from actbench.codec import Codec, FeatureMap, Method, Payload, PlainCodec, floating, unsigned
from actbench.workloads.base import ImageSet, Workload

HERE = "actbench_plugin_hostile"


def identify(data: Path | None, weights: Path | None) -> dict[str, str]:
    return {"data": "toy"}


class Toy(Workload):
    input_shape = (3, 8, 8)

    def model(self) -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 4, 1),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )

    def calibration_set(self) -> ImageSet:
        return _images(1, 16)

    def training_set(self) -> ImageSet:
        return _images(1, 128)

    def evaluation_set(self) -> ImageSet:
        return _images(2, 40).spread(self.settings.limit)


def _images(seed: int, count: int) -> ImageSet:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(256, (count, 3, 8, 8), generator=generator).byte()
    return ImageSet(pixels, torch.randint(4, (count,), generator=generator), (0.5,) * 3, (0.25,) * 3)


class Remembering(Codec):
    """Stores one bit an image, and keeps the rest to itself."""

    def encode(self, x: Tensor) -> Payload:
        self.hidden = x.clone()
        return Payload(flag=unsigned(torch.zeros(len(x), 1), 1))

    def decode(self, payload: Payload) -> Tensor:
        return self.hidden


class Understating(Codec):
    """Says 2 bits and needs 8."""

    def encode(self, x: Tensor) -> Payload:
        return Payload(codes=unsigned((x * 50).round().clamp(0, 255), 2))

    def decode(self, payload: Payload) -> Tensor:
        return payload["codes"] / 50


class Shaping(Codec):
    """Hides a count of positive values in the shape of a field."""

    def encode(self, x: Tensor) -> Payload:
        return Payload(values=floating(x), more=unsigned(torch.zeros(len(x), 1 + int((x > 0).sum()) % 17), 1))

    def decode(self, payload: Payload) -> Tensor:
        return payload["values"]


class WrongShape(Codec):
    def encode(self, x: Tensor) -> Payload:
        return Payload(values=floating(x))

    def decode(self, payload: Payload) -> Tensor:
        return payload["values"][:, :1]


class NotANumber(Codec):
    def encode(self, x: Tensor) -> Payload:
        return Payload(values=floating(x))

    def decode(self, payload: Payload) -> Tensor:
        return payload["values"] * torch.nan


class Raising(Codec):
    def encode(self, x: Tensor) -> Payload:
        raise ZeroDivisionError("encode cannot")

    def decode(self, payload: Payload) -> Tensor:
        return payload["values"]


class Hanging(Codec):
    def encode(self, x: Tensor) -> Payload:
        time.sleep(600)
        return Payload()

    def decode(self, payload: Payload) -> Tensor:
        return payload["values"]


class Exiting(Codec):
    def encode(self, x: Tensor) -> Payload:
        os._exit(7)

    def decode(self, payload: Payload) -> Tensor:
        return payload["values"]


class OutOfMemory(Codec):
    def encode(self, x: Tensor) -> Payload:
        raise MemoryError("no room")

    def decode(self, payload: Payload) -> Tensor:
        return payload["values"]


LEAKED: list[Tensor] = []


class Leaking(PlainCodec):
    """Keeps a gibibyte of addresses for ever, again and again."""

    def __init__(self) -> None:
        super().__init__(None)

    def encode(self, x: Tensor) -> Payload:
        while True:
            LEAKED.append(torch.empty(1 << 28))


class Printing(PlainCodec):
    """Behaves, but talks: on the stream that once was the worker's answers."""

    def __init__(self) -> None:
        super().__init__(None)

    def encode(self, x: Tensor) -> Payload:
        print("hello from encode", flush=True)
        os.write(1, b'{"event": "result"}\n')
        return super().encode(x)


class Waiting(PlainCodec):
    """Behaves, and takes half a second, so that a test can interrupt it."""

    def __init__(self) -> None:
        super().__init__(None)

    def encode(self, x: Tensor) -> Payload:
        time.sleep(0.5)
        return super().encode(x)

    def encode_rows(self, x: Tensor, head: Payload) -> Payload:
        return super().encode(x)


BOTH = ("inference", "training")
CODECS: dict[str, type[Codec]] = {
    "remembering": Remembering,
    "understating": Understating,
    "shaping": Shaping,
    "wrong-shape": WrongShape,
    "not-a-number": NotANumber,
    "raising": Raising,
    "hanging": Hanging,
    "exiting": Exiting,
    "out-of-memory": OutOfMemory,
    "leaking": Leaking,
    "printing": Printing,
    "waiting": Waiting,
}


class Hostile(Method):
    """Whatever the codec is, it goes over every ceiling that fp32 goes over."""

    kind: type[Codec]

    def codec(self, fmap: FeatureMap, stats: object, allowance: object) -> Codec:
        return self.kind()


for _name, _kind in CODECS.items():
    globals()[f"Method_{_kind.__name__}"] = type(f"Method_{_kind.__name__}", (Hostile,), {"kind": _kind})


@hookimpl
def register_methods(register) -> None:
    for name, kind in CODECS.items():
        register(MethodInfo(name=name, title=name, target=f"{HERE}:Method_{kind.__name__}", version="1", tracks=BOTH))


@hookimpl
def register_workloads(register) -> None:
    register(
        WorkloadInfo(
            name="toy",
            title="Toy",
            target=f"{HERE}:Toy",
            identify=f"{HERE}:identify",
            metric="top-1",
            unit="%",
            reference_point=25.0,
        )
    )
