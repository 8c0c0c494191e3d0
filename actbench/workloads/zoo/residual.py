"""Network of `shapes`: small, and with everything that a codec meets in larger residual networks.

A pooled stem; bottleneck blocks of 1×1 and 3×3 convolutions and basic blocks of 3×3 ones (He et al. 2016), with
identity skips, and with strided 1×1 convolutions where the size changes.
"""

from __future__ import annotations

from torch import Tensor, nn


class Residual(nn.Module):
    """Residual block: `ReLU(branch(x) + skip(x))`."""

    def __init__(self, branch: nn.Module, skip: nn.Module) -> None:
        super().__init__()
        self.branch = branch
        self.skip = skip
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Computes (batch, C_in, H, W) → (batch, C, H/stride, W/stride)."""
        return self.relu(self.branch(x) + self.skip(x))  # type: ignore[no-any-return]


class ResidualNetwork(nn.Module):
    """Residual network for 3×64×64 → ten classes; the largest feature maps are 48×32×32."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Sequential(_convolution(3, 32, 3), nn.ReLU(), nn.MaxPool2d(2))
        self.stage1 = nn.Sequential(_bottleneck(32, 24, 48), _bottleneck(48, 24, 48))
        self.stage2 = nn.Sequential(_basic(48, 64, 2), _basic(64, 64))
        self.stage3 = nn.Sequential(_bottleneck(64, 64, 128, 2), _bottleneck(128, 48, 128))
        self.classifier = nn.Linear(128, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Computes (batch, 3, H, W) → (batch, classes)."""
        features = self.stage3(self.stage2(self.stage1(self.stem(x))))
        return self.classifier(features.mean((2, 3)))  # type: ignore[no-any-return]


def _convolution(channels_in: int, channels: int, kernel: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(channels_in, channels, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels))


def _skip(channels_in: int, channels: int, stride: int) -> nn.Module:
    return nn.Identity() if channels_in == channels and stride == 1 else _convolution(channels_in, channels, 1, stride)


def _basic(channels_in: int, channels: int, stride: int = 1) -> Residual:
    first, second = _convolution(channels_in, channels, 3, stride), _convolution(channels, channels, 3)
    return Residual(nn.Sequential(first, nn.ReLU(), second), _skip(channels_in, channels, stride))


def _bottleneck(channels_in: int, inner: int, channels: int, stride: int = 1) -> Residual:
    reduce, transform = _convolution(channels_in, inner, 1), _convolution(inner, inner, 3, stride)
    branch = nn.Sequential(reduce, nn.ReLU(), transform, nn.ReLU(), _convolution(inner, channels, 1))
    return Residual(branch, _skip(channels_in, channels, stride))
