"""The codecs behind `broken.py`: each is the sound one with one thing wrong."""

import os
from typing import Any

import torch
from torch import Tensor, nn

from actbench.codec import (
    Allowance,
    Codec,
    FeatureMap,
    Folded,
    MapStatistics,
    Method,
    Payload,
    PlainCodec,
    Plan,
    Unsupported,
    floating,
    unsigned,
)


class Wrapped(Codec):
    """Plain quantisation."""

    def __init__(self, inner: PlainCodec) -> None:
        super().__init__()
        self.inner = inner

    def encode(self, x: Tensor) -> Payload:
        return self.inner.encode(x)

    def decode(self, payload: Payload) -> Tensor:
        return self.inner.decode(payload)

    @property
    def rows(self) -> int:
        return self.inner.rows

    def encode_rows(self, x: Tensor, head: Payload) -> Payload:
        return self.encode(x)

    def decode_rows(self, stripe: Payload, head: Payload) -> Tensor:
        return self.decode(stripe)


class Sound(Method):
    """The widest code that fits."""

    kind: type[Wrapped] = Wrapped

    def codec(self, fmap: FeatureMap, stats: MapStatistics, allowance: Allowance) -> Codec:
        width = self.width(fmap, allowance)
        if width is None:
            raise Unsupported(f"{fmap.name}: no code is narrow enough")
        return self.kind(PlainCodec.calibrated(fmap, stats, width))

    def width(self, fmap: FeatureMap, allowance: Allowance) -> int | None:
        return allowance.plain_width(fmap)


class Always(Sound):
    """Uses its codec for all maps, also for those that may be left alone."""

    def plan(self, network: Any, stats: Any, budget: Any) -> Plan:
        allowances = {fmap.name: budget.allowance(fmap, network.maps) for fmap in network.maps}
        return Plan({fmap.name: self.codec(fmap, stats[fmap.name], allowances[fmap.name]) for fmap in network.maps})


class UnknownMap(Sound):
    def plan(self, network: Any, stats: Any, budget: Any) -> Plan:
        return Plan({"nowhere": PlainCodec(None)})


class Shapes(Always):
    class kind(Wrapped):
        def decode(self, payload: Payload) -> Tensor:
            return super().decode(payload)[:, :, 1:]


class EmptyBatch(Always):
    class kind(Wrapped):
        def encode(self, x: Tensor) -> Payload:
            return super().encode(x.clamp(max=x.max()))


class Layouts(Always):
    class kind(Wrapped):
        def encode(self, x: Tensor) -> Payload:
            return super().encode(x.as_strided(x.shape, torch.empty(x.shape).stride()))


class HalfPrecision(Always):
    class kind(Wrapped):
        def encode(self, x: Tensor) -> Payload:
            return super().encode(torch.from_numpy(x.detach().numpy()))


class FiniteOutput(Always):
    class kind(Wrapped):
        def encode(self, x: Tensor) -> Payload:
            scale = 1 / x.amax((1, 2, 3), keepdim=True)  # of zeros infinite
            codes = (x * scale).nan_to_num().clamp(0, 1).mul(15).round()
            return Payload(codes=unsigned(codes, 4), scale=floating(scale))

        def decode(self, payload: Payload) -> Tensor:
            return payload["codes"] / 15 * payload["scale"] / payload["scale"].square()


class Determinism(Always):
    class kind(Wrapped):
        def encode(self, x: Tensor) -> Payload:
            generator = torch.Generator().manual_seed(int.from_bytes(os.urandom(4), "big"))
            return super().encode(x + x.std() * torch.randn(x.shape, generator=generator))


class Packing(Always):
    class kind(Wrapped):
        def encode(self, x: Tensor) -> Payload:
            return Payload(codes=unsigned((100 * x).round().clamp(0, 255), 2))

        def decode(self, payload: Payload) -> Tensor:
            return payload["codes"] / 100


class Ceilings(Always):
    def width(self, fmap: FeatureMap, allowance: Allowance) -> int:
        return allowance.widths[0]


class ErrorAndBudget(Always):
    def width(self, fmap: FeatureMap, allowance: Allowance) -> int | None:
        fitting = [width for width in allowance.widths if fmap.elements * width <= allowance.bits]
        return fitting[-1] if len(fitting) > 4 else next(iter(fitting), None)


class PayloadAlone(Always):
    class kind(Wrapped):
        def encode(self, x: Tensor) -> Payload:
            self.hidden = x.detach().clone()
            return super().encode(x)

        def decode(self, payload: Payload) -> Tensor:
            return self.hidden[: payload.batch]


SHELF: list[Tensor] = []


class FreshProcess(Always):
    class kind(Wrapped):
        def encode(self, x: Tensor) -> Payload:
            SHELF.extend(x.detach().clone())
            handles = torch.arange(len(SHELF) - len(x), len(SHELF))
            return Payload(handle=unsigned(handles[:, None], 32))

        def decode(self, payload: Payload) -> Tensor:
            return torch.stack([SHELF[int(handle)] for handle in payload["handle"]])


TooGood = FreshProcess


class NoState(Always):
    class kind(Wrapped):
        most = 0.0

        def encode(self, x: Tensor) -> Payload:
            self.most = max(self.most, float(x.abs().max()) if x.numel() else 0.0)
            top = torch.full((len(x), 1, 1, 1), self.most or 1.0)
            return Payload(codes=unsigned((x / top).clamp(0, 1).mul(15).round(), 4), top=floating(top))

        def decode(self, payload: Payload) -> Tensor:
            return payload["codes"] / 15 * payload["top"]


class Gradients(Always):
    class kind(Wrapped):
        def encode(self, x: Tensor) -> Payload:
            return super().encode(x.detach())

        def decode(self, payload: Payload) -> Tensor:
            return super().decode(payload).detach()


class Before(Wrapped):
    side = "before"


class Folding(Always):
    class kind(Wrapped):
        side = "before"

        def fold(self) -> Folded:
            project = nn.Conv2d(self.channels, self.channels, 1, bias=False)
            project.weight.data = 2 * torch.eye(self.channels)[:, :, None, None]
            return Folded(Before(self.inner), project=project)

    def codec(self, fmap: FeatureMap, stats: MapStatistics, allowance: Allowance) -> Codec:
        made = super().codec(fmap, stats, allowance)
        made.channels = fmap.channels
        return made


class ImpossibleBudget(Always):
    def width(self, fmap: FeatureMap, allowance: Allowance) -> int | None:
        assert fmap.bits // allowance.bits < 1000
        return super().width(fmap, allowance)


class Gpu(Always):
    class kind(Wrapped):
        def decode(self, payload: Payload) -> Tensor:
            decoded = super().decode(payload)
            return decoded + 1 if decoded.is_cuda else decoded


class WeightGradients(Always):
    class kind(Wrapped):
        def convolution_weight_gradient(self, payload: Payload, gradient: Tensor, convolution: nn.Conv2d) -> Tensor:
            return torch.ones_like(convolution.weight)

        def linear_weight_gradient(self, payload: Payload, gradient: Tensor) -> None:
            return None

    def plan_saving(self, network: Any, stats: Any, budget: Any) -> Plan:
        return self.plan(network, stats, budget)


class Description(Always):
    class kind(Wrapped):
        def describe(self) -> dict[str, Any]:
            return {"width": torch.tensor(4)}


class Rows(Always):
    class kind(Wrapped):
        def encode(self, x: Tensor) -> Payload:
            top = x.amax((1, 2, 3), keepdim=True).clamp_min(1e-6)  # of a stripe another one than of the map
            return Payload(codes=unsigned((x / top).clamp(0, 1).mul(15).round(), 4), top=floating(top))

        def decode(self, payload: Payload) -> Tensor:
            return payload["codes"] / 15 * payload["top"]
