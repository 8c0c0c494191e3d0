"""The linear bottleneck after a nonlinearity, and its foldable ends."""

from __future__ import annotations

from torch import Tensor, nn

from actbench.codec import UniformQuantizer
from actbench.codec.bottleneck import Bottleneck
from actbench.codec.modules import pointwise


class ProjectionCodec(Bottleneck):
    """A linear bottleneck, `z = Q(V x)` and `x̂ = U z`: k of C channels are stored, k·H·W·width bits (Price & Tanner).

    `project`: V (k, C), `expand`: U (C, k), both without bias, so that U folds exactly into convolutions with zero
    padding. z takes either sign: both ends of the quantiser's clip are free.
    """

    side = "after"

    def __init__(self, project: Tensor, expand: Tensor, quantizer: UniformQuantizer | None) -> None:
        super().__init__(pointwise(project), nn.Identity(), pointwise(expand), quantizer)
