"""Network of `shapes`: small, and with everything that a codec meets in larger residual networks.

A pooled stem; bottleneck blocks of 1×1 and 3×3 convolutions and basic blocks of 3×3 ones (He et al. 2016), with
identity skips, and with strided 1×1 convolutions where the size changes.
"""

from __future__ import annotations

from torch import Tensor, nn

from actbench.workloads.zoo.blocks import basic, bottleneck, convolution


class ResidualNetwork(nn.Module):
    """Residual network for 3×64×64 → ten classes; the largest feature maps are 48×32×32."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Sequential(convolution(3, 32, 3), nn.ReLU(), nn.MaxPool2d(2))
        self.stage1 = nn.Sequential(bottleneck(32, 24, 48), bottleneck(48, 24, 48))
        self.stage2 = nn.Sequential(basic(48, 64, 2), basic(64, 64))
        self.stage3 = nn.Sequential(bottleneck(64, 64, 128, 2), bottleneck(128, 48, 128))
        self.classifier = nn.Linear(128, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Computes (batch, 3, H, W) → (batch, classes)."""
        features = self.stage3(self.stage2(self.stage1(self.stem(x))))
        return self.classifier(features.mean((2, 3)))  # type: ignore[no-any-return]
