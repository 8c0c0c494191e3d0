"""Networks and codecs that the tests of the network floor share."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from actbench.codec import Codec, Folded, Payload, floating
from actbench.codec.modules import build_all
from actbench.feature_map import FeatureMap


class Identity(Codec):
    """Stores a map as it is, on any side."""

    def __init__(self, fmap: FeatureMap, side: str) -> None:
        super().__init__()
        vars(self)["side"] = side
        self.steps = build_all(fmap.between) if side == "around" else nn.Identity()

    def encode(self, x: Tensor) -> Payload:
        return Payload(values=floating(x))

    def decode(self, payload: Payload) -> Tensor:
        return self.steps(payload["values"])


class Core(Codec):
    """The steps of a map and nothing else, for any number of channels."""

    side = "around"

    def __init__(self, steps: nn.Module) -> None:
        super().__init__()
        self.steps = steps

    def encode(self, x: Tensor) -> Payload:
        return Payload(values=floating(self.steps(x)))

    def decode(self, payload: Payload) -> Tensor:
        return payload["values"]


class Bottleneck(Codec):
    """k of C channels around the nonlinearity: random linear ends that can fold."""

    side = "around"

    def __init__(self, fmap: FeatureMap, rank: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(fmap.channels, rank, 1)
        self.expand = nn.Conv2d(rank, fmap.channels, 1, bias=False)
        self.core = Core(build_all(fmap.between))

    def encode(self, x: Tensor) -> Payload:
        return self.core.encode(self.project(x))

    def decode(self, payload: Payload) -> Tensor:
        return self.expand(self.core.decode(payload))

    def fold(self) -> Folded:
        return Folded(self.core, self.project, self.expand)


class Block(nn.Module):
    """conv → BN → ReLU → conv → BN, added to its input or to a strided 1×1 convolution of it."""

    def __init__(self, channels: int, out: int, stride: int = 1, kernel: int = 3, *, bias: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, kernel, stride, kernel // 2, bias=bias)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, kernel, 1, kernel // 2, bias=bias)
        self.bn2 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        same = stride == 1 and channels == out
        self.downsample = (
            None if same else nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=bias), nn.BatchNorm2d(out))
        )

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)


def _randomize(module: nn.Module) -> nn.Module:
    """Normalisations that do something."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias)
            nn.init.normal_(part.running_mean)
            nn.init.uniform_(part.running_var, 0.5, 2)
    return module.eval()


def _residual(channels: int = 6, wide: int = 8, kernel: int = 3, *, bias: bool = False) -> nn.Module:
    """A stem with pooling, an identity skip, a strided skip, and a classifier; images 3×16×16."""
    return _randomize(
        nn.Sequential(
            nn.Conv2d(3, channels, 3, padding=1, bias=bias),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, 1),
            Block(channels, channels, kernel=kernel, bias=bias),
            Block(channels, wide, 2, kernel, bias=bias),
            Block(wide, wide, kernel=kernel, bias=bias),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(wide, 5),
        )
    )


@pytest.fixture(autouse=True)
def _repeatable() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def residual() -> Callable[..., nn.Module]:
    return _residual


@pytest.fixture(scope="session")
def randomize() -> Callable[[nn.Module], nn.Module]:
    return _randomize


@pytest.fixture(scope="session")
def identities() -> Callable[[Any, str], Mapping[str, Codec]]:
    """Codecs that change nothing, for all maps of a traced network."""
    return lambda network, side: {fmap.name: Identity(fmap, side) for fmap in network.maps}


@pytest.fixture(scope="session")
def bottlenecks() -> Callable[[Any, float], Mapping[str, Codec]]:
    """Codecs that keep a part of every map's channels."""
    return lambda network, part: {
        fmap.name: Bottleneck(fmap, max(1, round(part * fmap.channels))) for fmap in network.maps
    }
