"""Network of `photos-denoise` and `photos-upscale`: it computes what a picture lacks, and adds it.

Residual blocks at one size without normalisation, within a skip over all of them, and, to enlarge, a rearrangement of
channels to pixels at the end (Lim et al., "Enhanced Deep Residual Networks for Single Image Super-Resolution", 2017).
"""

from __future__ import annotations

from torch import Tensor, nn

from actbench.workloads.zoo.blocks import Residual


class RestorationNetwork(nn.Module):
    """Network for grey pictures 1×H×W → 1×(scale·H)×(scale·W); all feature maps are `channels`×H×W."""

    def __init__(self, scale: int, channels: int, blocks: int) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Conv2d(1, channels, 3, padding=1), nn.ReLU())
        self.body = nn.Sequential(*(_block(channels) for _ in range(blocks)))
        self.tail = nn.Conv2d(channels, scale**2, 3, padding=1)
        self.arrange = nn.PixelShuffle(scale)

    def forward(self, x: Tensor) -> Tensor:
        """Computes (batch, 1, H, W) → (batch, 1, scale·H, scale·W): each pixel, repeated, plus what is computed."""
        features = self.head(x)
        details = self.tail(self.body(features) + features)
        return self.arrange(details + x)  # type: ignore[no-any-return]


def _block(channels: int) -> Residual:
    first, second = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
    return Residual(nn.Sequential(first, nn.ReLU(), second), nn.Identity())
