"""A network with normalisations and skips, its images, and linear codecs for its maps."""

import pytest
import torch
from torch import Tensor, nn

from actbench.codec import FeatureMap, PlainCodec, UniformQuantizer
from actbench.network.calibration import Statistics
from actbench.network.trace import TracedNetwork, trace
from actbench_plugins.projection.codec import ProjectionCodec
from actbench_plugins.projection.start import principal

SIZE = (3, 12, 12)


class Block(nn.Module):
    """conv → BN → ReLU → conv → BN, added to its input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x))))))


def images(count: int, seed: int = 0) -> Tensor:
    """Smooth images, so that channels of maps have much in common."""
    small = torch.randn(count, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    return nn.functional.interpolate(small, SIZE[1:], mode="bilinear")


@pytest.fixture
def network() -> TracedNetwork:
    torch.manual_seed(2)
    layers = [nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), Block(8), nn.MaxPool2d(2)]
    module = nn.Sequential(*layers, Block(8), nn.Conv2d(8, 4, 3)).train()
    with torch.no_grad():
        for seed in range(30):
            module(images(16, 100 + seed))
    return trace(module.eval(), SIZE)


@pytest.fixture
def statistics(network: TracedNetwork) -> Statistics:
    return Statistics(network, images(24))


def projection(fmap: FeatureMap, statistics: Statistics, rank: int, width: int = 6) -> ProjectionCodec:
    stats = statistics[fmap.name].after
    project, expand = principal(stats.gram, rank)
    stored = torch.einsum("kc,nchw->nkhw", project, stats.sample)
    return ProjectionCodec(project, expand, UniformQuantizer.calibrated(width, stored))


def plain(fmap: FeatureMap, statistics: Statistics, width: int) -> PlainCodec:
    return PlainCodec.calibrated(fmap, statistics[fmap.name], width)
