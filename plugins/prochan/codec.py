"""The bottleneck around a nonlinearity, and its foldable ends."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from actbench.codec import Codec, FeatureMap, Folded, Payload, UniformQuantizer, floating, unsigned
from actbench.codec.modules import build_all, pointwise
from actbench.feature_map import FLOAT_BITS
from actbench.info import OptionValue


class StoredActivation(Codec):
    """The middle of the bottleneck: `h = pool(act(u))`, stored as it is or in `width`-bit codes (PACT after a ReLU).

    Encodes (batch, k, H, W) before the nonlinearity, decodes (batch, k, H', W') after nonlinearity and pooling.
    """

    side = "around"

    def __init__(self, between: nn.Module, quantizer: UniformQuantizer | None) -> None:
        super().__init__()
        self.between = between
        self.quantizer = quantizer

    def encode(self, x: Tensor) -> Payload:
        hidden = self.between(x)
        if self.quantizer is None:
            return Payload(values=floating(hidden))
        return Payload(codes=unsigned(self.quantizer.encode(hidden), self.quantizer.width))

    def decode(self, payload: Payload) -> Tensor:
        return payload["values"] if self.quantizer is None else self.quantizer.decode(payload["codes"])


class ProChanCodec(Codec):
    """`h = Q(pool(act(P z + p)))`, `x̂ = E h`: k of C channels are stored, k·H'·W'·width bits.

    `project`: (k, C) with bias, `expand`: (C, k) without: behind the zero padding of the next convolution a folded
    bias would be wrong at the borders.
    """

    side = "around"

    def __init__(self, fmap: FeatureMap, project: Tensor, expand: Tensor, quantizer: UniformQuantizer | None) -> None:
        super().__init__()
        self.project = pointwise(project, torch.zeros(len(project)))
        self.expand = pointwise(expand)
        self.core = StoredActivation(build_all(fmap.between), quantizer)

    def encode(self, x: Tensor) -> Payload:
        return self.core.encode(self.project(x))

    def decode(self, payload: Payload) -> Tensor:
        return self.expand(self.core.decode(payload))  # type: ignore[no-any-return]

    def fold(self) -> Folded:
        return Folded(self.core, self.project, self.expand)

    def describe(self) -> dict[str, OptionValue]:
        quantizer = self.core.quantizer
        return {"rank": self.project.out_channels, "bits": quantizer.width if quantizer else FLOAT_BITS}
