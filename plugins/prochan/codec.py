"""The bottleneck around a nonlinearity, and its foldable ends."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from actbench.codec import Codec, FeatureMap, Folded, Payload, PlainCodec, UniformQuantizer
from actbench.codec.modules import build_all, pointwise
from actbench.info import OptionValue


class ProChanCodec(Codec):
    """A bottleneck around the nonlinearity, `h = Q(pool(act(P z + p)))` and `x̂ = E h`: k of C channels are stored,
    k·H'·W'·width bits.

    `project`: (k, C) with bias, `expand`: (C, k) without: behind the zero padding of the next convolution a folded
    bias would be wrong at the borders.
    """

    side = "around"

    def __init__(self, fmap: FeatureMap, project: Tensor, expand: Tensor, quantizer: UniformQuantizer | None) -> None:
        super().__init__()
        self.project = pointwise(project, torch.zeros(len(project)))
        self.expand = pointwise(expand)
        self.between = build_all(fmap.between)
        self.core = PlainCodec(quantizer)

    @property
    def decoder(self) -> nn.Conv2d:
        return self.expand

    @property
    def width(self) -> int:
        return self.core.width

    def read(self, x: Tensor) -> Tensor:
        return self.core(self.between(self.project(x)))  # type: ignore[no-any-return]

    def clip_channels(self, x: Tensor) -> None:
        self.core.clip_channels(self.between(self.project(x)))

    def encode(self, x: Tensor) -> Payload:
        return self.core.encode(self.between(self.project(x)))

    def decode(self, payload: Payload) -> Tensor:
        return self.expand(self.core.decode(payload))  # type: ignore[no-any-return]

    def fold(self) -> Folded:
        return Folded(self.core, self.project, self.expand)

    def describe(self) -> dict[str, OptionValue]:
        return {"rank": self.project.out_channels, **self.core.describe()}
