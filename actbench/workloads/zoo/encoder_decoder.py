"""Network of `shapes-segmentation` and `shapes-depth`: an encoder and a decoder with skips between them.

Each step of the decoder doubles the size and adds what the encoder had there (Chaurasia and Culurciello, "LinkNet",
2017): what a skip carries is in memory from one end of the network to the other.
"""

from __future__ import annotations

from torch import Tensor, nn

from actbench.workloads.zoo.blocks import basic, bottleneck, convolution


class EncoderDecoder(nn.Module):
    """Network for 3×H×W → `outputs`×H×W, H and W multiples of 8; of 128×128 the largest feature maps are 16×128×128."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(convolution(3, 16, 3), nn.ReLU())
        self.encoder1 = basic(16, 32, 2)
        self.encoder2 = nn.Sequential(basic(32, 64, 2), bottleneck(64, 32, 64))
        self.encoder3 = nn.Sequential(basic(64, 96, 2), bottleneck(96, 48, 96), bottleneck(96, 48, 96))
        self.decoder2 = Merge(96, 64)
        self.refine2 = bottleneck(64, 32, 64)
        self.decoder1 = Merge(64, 32)
        self.refine1 = bottleneck(32, 16, 32)
        self.decoder0 = Merge(32, 16)
        self.refine0 = nn.Sequential(convolution(16, 16, 3), nn.ReLU())
        self.head = nn.Conv2d(16, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Computes (batch, 3, H, W) → (batch, outputs, H, W)."""
        whole = self.stem(x)
        half = self.encoder1(whole)
        quarter = self.encoder2(half)
        features = self.refine2(self.decoder2(self.encoder3(quarter), quarter))
        features = self.refine1(self.decoder1(features, half))
        return self.head(self.refine0(self.decoder0(features, whole)))  # type: ignore[no-any-return]


class Merge(nn.Module):
    """Step of the decoder: `ReLU(enlarged(convolution(x)) + skip)`."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.reduce = convolution(channels_in, channels, 1)
        self.enlarge = nn.Upsample(scale_factor=2, mode="nearest")
        self.relu = nn.ReLU()

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Computes (batch, C_in, H, W) and (batch, C, 2H, 2W) → (batch, C, 2H, 2W)."""
        return self.relu(self.enlarge(self.reduce(x)) + skip)  # type: ignore[no-any-return]
