"""Methods on one feature map: time, bytes and error of what each stores, without a network to evaluate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from actbench.budget import Budget
from actbench.codec.codec import Codec
from actbench.codec.method import Method
from actbench.codec.modules import build_all
from actbench.codec.plain import PlainCodec
from actbench.errors import Unsupported, UserError
from actbench.feature_map import FeatureMap
from actbench.harness.workbench import Workbench
from actbench.info import MethodInfo, OptionValue, WorkloadInfo, load_target
from actbench.measure.latency import timed
from actbench.network.tap import Tap
from actbench.workloads.base import ImageSet, Workload, WorkloadSettings

_CALIBRATION = 16
_ROUNDS = 9
_SMOOTHNESS = 8


@dataclass(frozen=True)
class LayerRow:
    """What a method does with a map. `encode`, `decode`: seconds for the batch, medians. `bytes`: stored for an image,
    the mean; `error`: ‖x̂ − x‖ / ‖x‖. A `reason` stands where the method makes no codec, and all else is None."""

    method: str
    encode: float | None = None
    decode: float | None = None
    bytes: float | None = None
    ratio: float | None = None
    error: float | None = None
    choices: Mapping[str, OptionValue] | None = None
    reason: str = ""


class OneLayer(Workload):
    """A 3×3 convolution of ReLU(x), where x is smooth with noise: what a layer of an image network reads."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__(WorkloadSettings())
        self.input_shape = shape

    @override
    def model(self) -> nn.Module:
        torch.manual_seed(0)
        channels = self.input_shape[0]
        mix, reader = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 3, padding=1)
        return nn.Sequential(mix, nn.ReLU(), reader).eval()

    @override
    def calibration_set(self) -> ImageSet:
        return self._images(_CALIBRATION, 1)

    @override
    def training_set(self) -> ImageSet:
        return self._images(_CALIBRATION, 1)

    @override
    def evaluation_set(self) -> ImageSet:
        return self._images(_CALIBRATION, 2)

    @override
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.mse_loss(outputs, torch.zeros_like(outputs))

    def _images(self, count: int, seed: int) -> ImageSet:
        channels, height, width = self.input_shape
        generator = torch.Generator().manual_seed(seed)
        coarse = torch.randn(
            count, channels, -(-height // _SMOOTHNESS) + 1, -(-width // _SMOOTHNESS) + 1, generator=generator
        )
        smooth = functional.interpolate(coarse, (height, width), mode="bilinear", align_corners=True)
        noisy = smooth + 0.1 * torch.randn(smooth.shape, generator=generator)
        pixels = (128 + 40 * noisy).clamp(0, 255).byte()
        return ImageSet(pixels, torch.zeros(count), (0.5,) * channels, (0.25,) * channels)


def layer_bench(shape: tuple[int, int, int], device: torch.device) -> Workbench:
    """A bench with a random map of a shape (C, H, W)."""
    info = WorkloadInfo("layer", "One layer", f"{__name__}:OneLayer", f"{__name__}:OneLayer", metric="error")
    return Workbench(OneLayer(shape), info, device)


def feature_map(bench: Workbench, name: str | None) -> FeatureMap:
    """The map of a name, or the first. Raises UserError for a map that the network does not have."""
    maps = {fmap.name: fmap for fmap in bench.network.maps}
    if name is None:
        return bench.network.maps[0]
    if name not in maps:
        raise UserError(f"the network has no feature map {name!r}; its maps: {', '.join(maps)}")
    return maps[name]


def measure_layer(
    bench: Workbench, fmap: FeatureMap, info: MethodInfo, options: Mapping[str, OptionValue], budget: Budget, batch: int
) -> LayerRow:
    """Plans a codec for one map of a network, and measures it on that map of evaluation images."""
    torch.manual_seed(0)
    try:
        method = cast(Method, load_target(info.target)(options))
        statistics = bench.maps["live"].statistics(0)
        codec = method.plan(bench.planning(bench.network), statistics, budget).codecs.get(fmap.name)
        if codec is None:
            return LayerRow(info.name, reason="stores this map as it is")
        return _measured(info.name, codec.to(bench.device).eval(), fmap, _sides(bench, fmap, batch), bench.device)
    except Unsupported as error:
        return LayerRow(info.name, reason=str(error))
    except Exception as error:  # it is a plugin's code: one that fails stops nobody
        return LayerRow(info.name, reason=f"{type(error).__name__}: {error}")


@torch.no_grad()
def _sides(bench: Workbench, fmap: FeatureMap, batch: int) -> tuple[Tensor, Tensor]:
    index = torch.arange(batch) % len(bench.evaluation)
    return Tap(bench.network).sides(bench.evaluation.images(index).to(bench.device))[fmap.name]


@torch.no_grad()
def _measured(
    name: str, codec: Codec, fmap: FeatureMap, sides: tuple[Tensor, Tensor], device: torch.device
) -> LayerRow:
    before, after = (side.contiguous() for side in sides)
    x = after if codec.side == "after" else before
    payload = codec.encode(x)
    decoded = codec.decode(payload)
    read = build_all(fmap.between)(decoded) if codec.side == "before" else decoded
    stored = float(payload.bits_per_image().double().mean())
    return LayerRow(
        name,
        encode=_median(lambda: codec.encode(x), device),
        decode=_median(lambda: codec.decode(payload), device),
        bytes=stored / 8,
        ratio=fmap.bits / stored,
        error=float((read.double() - after.double()).norm() / after.double().norm()),
        choices=({"codes": "plain"} if type(codec) is PlainCodec else {}) | dict(codec.describe()),
    )


def _median(function: Callable[[], object], device: torch.device) -> float:
    return median(timed(function, device) for _ in range(_ROUNDS))
