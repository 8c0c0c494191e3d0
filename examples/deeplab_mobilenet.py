"""DeepLabV3+ on MobileNetV2 (Chen et al. 2018): output stride 16, and separable convolutions wherever kernels are 3×3.

actbench maps --model examples/deeplab_mobilenet.py:cityscapes --input 3,1024,2048 --bops --bits w8a8
python examples/train_segmentation.py --model examples/deeplab_mobilenet.py:camvid --classes 11 --data DIR --out FILE
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import mobilenet_v2

_WIDTH = 256
_RATES = (6, 12, 18)
"""Of the atrous convolutions, at output stride 16."""

_SHALLOW, _DEEP = 24, 320
"""Channels of MobileNetV2's maps at 1/4, and of its last blocks."""


def pointwise(inside: int, outside: int) -> nn.Sequential:
    """A 1×1 convolution with its normalisation."""
    return nn.Sequential(nn.Conv2d(inside, outside, 1, bias=False), nn.BatchNorm2d(outside), nn.ReLU())


def separable(inside: int, outside: int, rate: int = 1) -> nn.Sequential:
    """A 3×3 convolution of each channel, of rows and columns `rate` apart, and a 1×1 convolution of all."""
    depthwise = nn.Conv2d(inside, inside, 3, padding=rate, dilation=rate, groups=inside, bias=False)
    return nn.Sequential(depthwise, *pointwise(inside, outside))


def backbone() -> nn.Sequential:
    """MobileNetV2 without its last 1×1 convolution, whose last stride is a step between rows and columns instead."""
    blocks = mobilenet_v2(weights=None).features[:-1]
    for number, block in enumerate(blocks[14:]):
        for layer in block.modules():
            if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3):
                rate = 1 if number == 0 else 2
                layer.stride, layer.dilation, layer.padding = (1, 1), (rate, rate), (rate, rate)
    return blocks


class Pyramid(nn.Module):
    """Atrous spatial pyramid pooling: the same map seen at several rates, and as a whole."""

    def __init__(self) -> None:
        super().__init__()
        self.point = pointwise(_DEEP, _WIDTH)
        self.rates = nn.ModuleList(separable(_DEEP, _WIDTH, rate) for rate in _RATES)
        self.whole = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(_DEEP, _WIDTH, 1), nn.ReLU())
        self.project = pointwise((2 + len(_RATES)) * _WIDTH, _WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (batch, 320, H, W) → (batch, 256, H, W)."""
        whole = self.whole(x).expand(-1, -1, x.shape[2], x.shape[3])
        return self.project(torch.cat([self.point(x), *(rate(x) for rate in self.rates), whole], 1))


class DeepLab(nn.Module):
    """Scores (batch, outputs, H, W) of pixels, from images (batch, 3, H, W)."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        blocks = backbone()
        self.shallow, self.deep = blocks[:4], blocks[4:]
        self.pyramid, self.skip = Pyramid(), pointwise(_SHALLOW, 48)
        self.decoder = separable(_WIDTH + 48, _WIDTH)
        self.classifier = nn.Conv2d(_WIDTH, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Images → scores."""
        shallow = self.shallow(x)
        deep = _scaled(self.pyramid(self.deep(shallow)), shallow)
        return _scaled(self.classifier(self.decoder(torch.cat([self.skip(shallow), deep], 1))), x)


def _scaled(x: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=False)


def camvid() -> nn.Module:
    """For CamVid's 11 classes."""
    return DeepLab(11)


def cityscapes() -> nn.Module:
    """For Cityscapes' 19 classes."""
    return DeepLab(19)


def depth() -> nn.Module:
    """For one number a pixel, above 0."""
    return nn.Sequential(DeepLab(1), nn.Softplus())
