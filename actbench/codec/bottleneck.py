"""A bottleneck of channels: linear ends that fold, and plain codes of fewer channels between them."""

from __future__ import annotations

from torch import Tensor, nn
from typing_extensions import override

from actbench.codec.linear_ends import LinearEnds
from actbench.codec.payload import Payload
from actbench.codec.plain import PlainCodec
from actbench.codec.quantizers import UniformQuantizer
from actbench.info import OptionValue


class Bottleneck(LinearEnds):
    """Stores `Q(between(project(x)))`, k of C channels, and decodes it with `expand`: k·H·W·width bits, H and W behind
    what stands `between`.

    `project`: a 1×1 convolution from C to k channels; `expand`: one back. The codec is `Linear` and `Clipped`.
    """

    core: PlainCodec
    project: nn.Conv2d

    def __init__(
        self, project: nn.Conv2d, between: nn.Module, expand: nn.Conv2d, quantizer: UniformQuantizer | None
    ) -> None:
        super().__init__(PlainCodec(quantizer), expand, project)
        self.between = between

    @property
    @override
    def width(self) -> int:
        """The width of every code; 32 without a quantiser."""
        return self.core.width

    def clip_channels(self, x: Tensor) -> None:
        """Gives each stored channel of a batch x its clip of least squared error."""
        self.core.clip_channels(self.between(self.project(x)))

    @override
    def encode(self, x: Tensor) -> Payload:
        return self.core.encode(self.between(self.project(x)))

    @override
    def describe(self) -> dict[str, OptionValue]:
        return {"rank": self.project.out_channels, **self.core.describe()}
