"""DnCNN (Zhang et al. 2017) for grey images: it finds the noise, and takes it away.

actbench maps --model examples/denoiser.py:dncnn --input 1,224,224
"""

from __future__ import annotations

from torch import Tensor, nn

_LAYERS, _CHANNELS = 17, 64


class Denoiser(nn.Module):
    """Clean images (batch, 1, H, W) of noisy ones."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(1, _CHANNELS, 3, padding=1), nn.ReLU())
        self.middle = nn.Sequential(*(_layer() for _ in range(_LAYERS - 2)))
        self.last = nn.Conv2d(_CHANNELS, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Noisy images → clean ones."""
        return x - self.last(self.middle(self.first(x)))


def _layer() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(_CHANNELS, _CHANNELS, 3, padding=1, bias=False), nn.BatchNorm2d(_CHANNELS), nn.ReLU()
    )


def dncnn() -> nn.Module:
    """The network with random weights: `--weights` fills it."""
    return Denoiser()
