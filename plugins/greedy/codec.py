"""Principal components of the tensor before the nonlinearity, quantised."""

from __future__ import annotations

from torch import Tensor, nn

from actbench.codec import Codec, Folded, Payload, PlainCodec, RowCodec, UniformQuantizer
from actbench.codec.modules import pointwise
from actbench.codec.principal_components import Components
from actbench.info import OptionValue


class StoredComponents(RowCodec):
    """What remains when the projection is part of the convolution before: `Q(z)` is stored, `x̂ = E z + μ` is read."""

    side = "before"

    def __init__(self, expand: nn.Conv2d, quantizer: UniformQuantizer | None) -> None:
        super().__init__()
        self.expand = expand
        self.plain = PlainCodec(quantizer)

    def encode(self, x: Tensor) -> Payload:
        return self.plain.encode(x)

    def decode(self, payload: Payload) -> Tensor:
        return self.expand(self.plain.decode(payload))  # type: ignore[no-any-return]


class ComponentCodec(Codec):
    """Leading components, `z = D x − D μ` and `x̂ = E Q(z) + μ` before the nonlinearity: K·H·W·width bits, H and W
    before pooling.

    `project`: D (K, C) with bias, which folds into the convolution before. `expand`: E (C, K) with bias μ, which stays:
    the nonlinearity stands between it and the next convolution.
    """

    side = "before"

    def __init__(self, components: Components, quantizer: UniformQuantizer | None) -> None:
        super().__init__()
        self.project = pointwise(components.project, -components.project @ components.mean)
        self.core = StoredComponents(pointwise(components.expand, components.mean), quantizer)

    @property
    def decoder(self) -> nn.Conv2d:
        return self.core.expand

    @property
    def width(self) -> int:
        return self.core.plain.width

    def read(self, x: Tensor) -> Tensor:
        return self.core.plain(self.project(x))  # type: ignore[no-any-return]

    def clip_channels(self, x: Tensor) -> None:
        self.core.plain.clip_channels(self.project(x))

    def encode(self, x: Tensor) -> Payload:
        return self.core.encode(self.project(x))

    def decode(self, payload: Payload) -> Tensor:
        return self.core.decode(payload)

    def fold(self) -> Folded:
        return Folded(self.core, project=self.project)

    def describe(self) -> dict[str, OptionValue]:
        return {"rank": self.project.out_channels, **self.core.plain.describe()}
