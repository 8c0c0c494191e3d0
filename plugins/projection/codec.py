"""The linear bottleneck after a nonlinearity, and its foldable ends."""

from __future__ import annotations

from torch import Tensor, nn

from actbench.codec import Codec, Folded, Payload, PlainCodec, UniformQuantizer
from actbench.codec.modules import pointwise
from actbench.info import OptionValue


class ProjectionCodec(Codec):
    """A linear bottleneck, `z = Q(V x)` and `x̂ = U z`: k of C channels are stored, k·H·W·width bits (Price & Tanner).

    `project`: V (k, C), `expand`: U (C, k), both without bias, so that U folds exactly into convolutions with zero
    padding. z takes either sign: both ends of the quantiser's clip are free.
    """

    side = "after"

    def __init__(self, project: Tensor, expand: Tensor, quantizer: UniformQuantizer | None) -> None:
        super().__init__()
        self.project = pointwise(project)
        self.expand = pointwise(expand)
        self.core = PlainCodec(quantizer)

    @property
    def decoder(self) -> nn.Conv2d:
        return self.expand

    @property
    def width(self) -> int:
        return self.core.width

    def read(self, x: Tensor) -> Tensor:
        return self.core(self.project(x))  # type: ignore[no-any-return]

    def clip_channels(self, x: Tensor) -> None:
        self.core.clip_channels(self.project(x))

    def encode(self, x: Tensor) -> Payload:
        return self.core.encode(self.project(x))

    def decode(self, payload: Payload) -> Tensor:
        return self.expand(self.core.decode(payload))  # type: ignore[no-any-return]

    def fold(self) -> Folded:
        return Folded(self.core, self.project, self.expand)

    def describe(self) -> dict[str, OptionValue]:
        return {"rank": self.project.out_channels, **self.core.describe()}
