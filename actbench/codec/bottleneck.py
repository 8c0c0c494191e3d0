"""A bottleneck of channels: linear ends that fold, and plain codes of fewer channels between them."""

from __future__ import annotations

from torch import Tensor, nn
from typing_extensions import override

from actbench.codec.codec import Codec, Folded
from actbench.codec.payload import Payload
from actbench.codec.plain import PlainCodec
from actbench.codec.quantizers import UniformQuantizer
from actbench.info import OptionValue


class Bottleneck(Codec):
    """Stores `Q(between(project(x)))`, k of C channels, and decodes it with `expand`: k·H·W·width bits, H and W behind
    what stands `between`.

    `project`: a 1×1 convolution from C to k channels; `expand`: one back, without a bias, which behind the zero padding
    of the next convolution would be wrong at the borders once it is folded. The codec is `Linear` and `Clipped`.
    """

    def __init__(
        self, project: nn.Conv2d, between: nn.Module, expand: nn.Conv2d, quantizer: UniformQuantizer | None
    ) -> None:
        super().__init__()
        self.project = project
        self.between = between
        self.expand = expand
        self.core = PlainCodec(quantizer)

    @property
    def decoder(self) -> nn.Conv2d:
        """The linear step with which decoding ends."""
        return self.expand

    @property
    def width(self) -> int:
        """The width of every code; 32 without a quantiser."""
        return self.core.width

    def read(self, x: Tensor) -> Tensor:
        """What `expand` reads of a batch x: (batch, k, H, W), through its codes."""
        return self.core.decode(self.encode(x))

    def clip_channels(self, x: Tensor) -> None:
        """Gives each stored channel of a batch x its clip of least squared error."""
        self.core.clip_channels(self.between(self.project(x)))

    @override
    def encode(self, x: Tensor) -> Payload:
        return self.core.encode(self.between(self.project(x)))

    @override
    def decode(self, payload: Payload) -> Tensor:
        decoded: Tensor = self.expand(self.core.decode(payload))
        return decoded

    @override
    def fold(self) -> Folded:
        return Folded(self.core, self.project, self.expand)

    @override
    def describe(self) -> dict[str, OptionValue]:
        return {"rank": self.project.out_channels, **self.core.describe()}
