"""Blocks of the small networks: residual ones of 3×3 convolutions and of 1×1 and 3×3 ones (He et al. 2016)."""

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


def convolution(channels_in: int, channels: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """A convolution that keeps the size, or divides it by the stride, and its batch normalisation."""
    layer = nn.Conv2d(channels_in, channels, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(channels))


def basic(channels_in: int, channels: int, stride: int = 1) -> Residual:
    """A block of two 3×3 convolutions; a 1×1 convolution is its skip where the size changes."""
    first, second = convolution(channels_in, channels, 3, stride), convolution(channels, channels, 3)
    return Residual(nn.Sequential(first, nn.ReLU(), second), _skip(channels_in, channels, stride))


def bottleneck(channels_in: int, inner: int, channels: int, stride: int = 1) -> Residual:
    """A block of 1×1, 3×3 and 1×1 convolutions, `inner` channels between them."""
    reduce, transform = convolution(channels_in, inner, 1), convolution(inner, inner, 3, stride)
    branch = nn.Sequential(reduce, nn.ReLU(), transform, nn.ReLU(), convolution(inner, channels, 1))
    return Residual(branch, _skip(channels_in, channels, stride))


def _skip(channels_in: int, channels: int, stride: int) -> nn.Module:
    return nn.Identity() if channels_in == channels and stride == 1 else convolution(channels_in, channels, 1, stride)
