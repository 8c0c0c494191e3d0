"""Methods that reach for what is not theirs: other methods' rows, evaluation images, the harness itself."""

import os
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from actbench import MethodInfo, WorkloadInfo, hookimpl
from actbench.codec import Budget, Codec, Field, MapStatistics, Method, Network, Payload, PlainCodec, Plan, unsigned
from actbench.workloads.base import Accuracy, ImageSet, Workload

HERE = "actbench_plugin_reaching"
CACHE: dict[int, Tensor] = {}
MARKS = Path(os.environ.get("ACTBENCH_TEST_MARKS", tempfile.gettempdir()))


class Plain(Method):
    """Four bits a value: an honest method, to be spoiled by the others."""

    def plan(self, network: Network, stats: Mapping[str, MapStatistics], budget: Budget) -> Plan:
        return Plan({fmap.name: PlainCodec.calibrated(fmap, stats[fmap.name], 4) for fmap in network.maps})


class Spoiling(Plain):
    """Changes whatever is at hand while it plans, and plans honestly then."""

    def plan(self, network: Network, stats: Mapping[str, MapStatistics], budget: Budget) -> Plan:
        for fmap in network.maps:
            for side in (stats[fmap.name].before, stats[fmap.name].after):
                side.sample.clamp_(0, 0.01)
                side.products.zero_()
            for reader in network.readers(fmap):
                reader.weight.data.mul_(3)
        nn.Conv2d.forward = lambda self, x: torch.zeros(len(x), self.out_channels, 8, 8)  # type: ignore[assignment]
        Accuracy.score = lambda self, means: 0 * means[..., 0]  # type: ignore[method-assign]
        torch.set_default_dtype(torch.float64)
        torch.manual_seed(99)
        torch.use_deterministic_algorithms(True)
        torch.set_grad_enabled(False)
        for name in ("_calibration", "_loss"):
            setattr(network, name, None)
        return super().plan(network, stats, budget)


class Curious(Plain):
    """Looks for the evaluation images among what it is given, and in the memory of its process."""

    def plan(self, network: Network, stats: Mapping[str, MapStatistics], budget: Budget) -> Plan:
        import gc

        sets = [thing for thing in gc.get_objects() if isinstance(thing, ImageSet)]
        counts = sorted({len(images) for images in sets})
        plan = super().plan(network, stats, budget)
        return Plan(plan.codecs, (f"sets of {counts}; workload within reach: {hasattr(network, '_workload')}",))


class Cheating(Codec):
    """Stores 32 bits an image, which say where the image is kept; a subclass keeps it."""

    def encode(self, x: Tensor) -> Payload:
        keys = [zlib.crc32(image.numpy().tobytes()) for image in x]
        for key, image in zip(keys, x, strict=True):
            self.hide(key, image.clone())
        return Payload(key=unsigned(torch.tensor(keys)[:, None], 32))

    def decode(self, payload: Payload) -> Tensor:
        return torch.stack([self.find(int(key)) for key in payload["key"]])

    def hide(self, key: int, image: Tensor) -> None:
        raise AssertionError

    def find(self, key: int) -> Tensor:
        raise AssertionError


class LargeBatches(PlainCodec):
    """Behaves in small batches; in larger ones decodes what it remembers."""

    def encode(self, x: Tensor) -> Payload:
        self.seen = x.clone() if len(x) > 16 else None
        return super().encode(x)

    def decode(self, payload: Payload) -> Tensor:
        return super().decode(payload) if self.seen is None else self.seen


class InGlobals(Cheating):
    def hide(self, key: int, image: Tensor) -> None:
        CACHE[key] = image

    def find(self, key: int) -> Tensor:
        return CACHE.get(key, torch.zeros(8, 8, 8))


class OnDisk(Cheating):
    def hide(self, key: int, image: Tensor) -> None:
        (MARKS / f"{key}.hidden").write_bytes(image.numpy().tobytes())

    def find(self, key: int) -> Tensor:
        return torch.frombuffer(bytearray((MARKS / f"{key}.hidden").read_bytes()), dtype=torch.float32).view(8, 8, 8)


class Wider(Field):
    """A field with a pocket."""


class InField(Cheating):
    def encode(self, x: Tensor) -> Payload:
        field = Wider(torch.zeros(len(x), 8), 1, "unsigned")
        object.__setattr__(field, "pocket", x.clone())
        return Payload(key=field)

    def decode(self, payload: Payload) -> Tensor:
        return cast(Any, payload.fields["key"]).pocket


class OfCodec(Plain):
    kind: type[Codec]

    def plan(self, network: Network, stats: Mapping[str, MapStatistics], budget: Budget) -> Plan:
        if issubclass(self.kind, PlainCodec):
            return Plan({f.name: self.kind.calibrated(f, stats[f.name], 4) for f in network.maps})
        return Plan({fmap.name: self.kind() for fmap in network.maps})


class Leaving(Plain):
    def plan(self, network: Network, stats: Mapping[str, MapStatistics], budget: Budget) -> Plan:
        raise SystemExit("enough")


class Undefined(PlainCodec):
    def describe(self) -> dict[str, Any]:
        return {"bits": float("nan")}


class Garbling(Plain):
    """Writes to every descriptor that it can."""

    def plan(self, network: Network, stats: Mapping[str, MapStatistics], budget: Budget) -> Plan:
        for descriptor in range(1, 64):
            try:
                os.write(descriptor, b'{"event": "result", "outcome": {"status": "ok"}}\nnot json\n')
            except OSError:
                continue
        return super().plan(network, stats, budget)


class Staying(Plain):
    """Leaves a process behind, in a session of its own."""

    def plan(self, network: Network, stats: Mapping[str, MapStatistics], budget: Budget) -> Plan:
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", "left-behind"], start_new_session=True)
        return super().plan(network, stats, budget)


METHODS: dict[str, type[Method]] = {
    "plain": Plain,
    "spoiling": Spoiling,
    "curious": Curious,
    "leaving": Leaving,
    "garbling": Garbling,
    "staying": Staying,
}
for _kind in (LargeBatches, InGlobals, OnDisk, InField, Undefined):
    METHODS[_kind.__name__.lower()] = type(_kind.__name__ + "Method", (OfCodec,), {"kind": _kind})
for _name, _method in METHODS.items():
    globals()[f"M_{_name}"] = _method


def identify(data: Path | None, weights: Path | None) -> dict[str, str]:
    return {"data": "reached"}


class Reached(Workload):
    input_shape = (3, 8, 8)

    def model(self) -> nn.Module:
        if "ACTBENCH_TEST_BROKEN" in os.environ:
            raise {"key": KeyError("layer9"), "exit": SystemExit(3)}[os.environ["ACTBENCH_TEST_BROKEN"]]
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
        return _images(1, 64)

    def evaluation_set(self) -> ImageSet:
        return _images(2, 77)


def _images(seed: int, count: int) -> ImageSet:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(256, (count, 3, 8, 8), generator=generator).byte()
    return ImageSet(pixels, torch.randint(4, (count,), generator=generator), (0.5,) * 3, (0.25,) * 3)


@hookimpl
def register_methods(register) -> None:
    for name in METHODS:
        register(MethodInfo(name=name, title=name, target=f"{HERE}:M_{name}", version="1"))


@hookimpl
def register_workloads(register) -> None:
    register(WorkloadInfo("reached", "Reached", f"{HERE}:Reached", f"{HERE}:identify", "top-1", "%"))
