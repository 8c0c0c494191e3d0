"""The bottleneck around a nonlinearity, and its foldable ends."""

from __future__ import annotations

import torch
from torch import Tensor

from actbench.codec import FeatureMap, UniformQuantizer
from actbench.codec.bottleneck import Bottleneck
from actbench.codec.modules import build_all, pointwise


class ProChanCodec(Bottleneck):
    """A bottleneck around the nonlinearity, `h = Q(pool(act(P z + p)))` and `x̂ = E h`: k of C channels are stored,
    k·H'·W'·width bits.

    `project`: (k, C) with bias, `expand`: (C, k) without.
    """

    side = "around"

    def __init__(self, fmap: FeatureMap, project: Tensor, expand: Tensor, quantizer: UniformQuantizer | None) -> None:
        ends = pointwise(project, torch.zeros(len(project))), pointwise(expand)
        super().__init__(ends[0], build_all(fmap.between), ends[1], quantizer)
