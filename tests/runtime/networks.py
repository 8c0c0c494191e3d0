"""Networks with everything between two layers that the runtime has to carry out."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Chain(nn.Module):
    """Odd kernels, strides, dilation, groups, both poolings, and a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()),
            *(nn.Conv2d(8, 8, 5, padding=2, groups=8), nn.ReLU6(), nn.MaxPool2d(3, 2, 1)),
            *(nn.Conv2d(8, 12, 3, stride=2, padding=2, dilation=2), nn.SiLU(), nn.AvgPool2d(2)),
            *(nn.Conv2d(12, 12, 1), nn.ReLU()),
        )
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(functional.adaptive_avg_pool2d(self.features(x), 1).flatten(1))


class Residual(nn.Module):
    """Two blocks, the second with a strided shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.a1, self.a2 = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.b1, self.b2 = nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.Conv2d(16, 16, 3, padding=1)
        self.short, self.last = nn.Conv2d(8, 16, 1, stride=2), nn.Conv2d(16, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        x = (self.a2(self.a1(x).relu()) + x).relu()
        x = torch.relu(self.b2(functional.relu(self.b1(x))) + self.short(x))
        return self.last(x).mean((2, 3))


class Encoder(nn.Module):
    """A U-Net: skips, transposed convolution, bilinear upsampling, concatenation; its output is a map."""

    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2 = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 8, 3, padding=1)
        self.middle, self.up = nn.Conv2d(8, 8, 3, padding=1), nn.ConvTranspose2d(8, 6, 2, 2)
        self.join2, self.join1 = nn.Conv2d(14, 6, 3, padding=1), nn.Conv2d(12, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        first = self.down1(x).relu()
        second = self.down2(functional.max_pool2d(first, 2)).relu()
        x = self.middle(functional.max_pool2d(second, 2)).relu()
        x = self.join2(torch.cat([self.up(x), second], 1)).relu()
        x = functional.interpolate(x, size=first.shape[-2:], mode="bilinear", align_corners=False)
        return self.join1(torch.cat([x, first], 1))


class Gated(nn.Module):
    """Squeeze and excitation, a barrier (channel shuffle), and two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.depthwise = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.squeeze, self.excite, self.project = nn.Conv2d(8, 2, 1), nn.Conv2d(2, 8, 1), nn.Conv2d(8, 8, 1)
        self.pool, self.shuffle, self.last = nn.AdaptiveAvgPool2d(1), nn.ChannelShuffle(2), nn.Conv2d(8, 3, 3)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.depthwise(functional.hardswish(self.stem(x))).relu()
        gate = self.excite(self.squeeze(self.pool(x)).relu()).sigmoid()
        x = self.shuffle(self.project(x * gate).relu())
        return {"map": self.last(x), "mean": x.mean((2, 3))}


NETWORKS = {"chain": Chain, "residual": Residual, "encoder": Encoder, "gated": Gated}


class Deep(nn.Module):
    """A plain chain of 3×3 convolutions with a classifier."""

    def __init__(self, channels: int, layers: int) -> None:
        super().__init__()
        stem = [nn.Conv2d(3, channels, 3, padding=1), nn.ReLU()]
        body = [(nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU()) for _ in range(layers - 1)]
        self.features = nn.Sequential(*stem, *(part for pair in body for part in pair))
        self.head = nn.Linear(channels, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).mean((2, 3)))
