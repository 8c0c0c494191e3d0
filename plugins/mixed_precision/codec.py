"""Groups of principal components, each in codes of its own width."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from actbench.codec import Codec, Field, Folded, Payload, RowCodec, UniformQuantizer, floating, unsigned
from actbench.codec.modules import pointwise
from actbench.codec.principal_components import Components
from actbench.feature_map import FLOAT_BITS
from actbench.info import OptionValue

Quantizers = Sequence[UniformQuantizer | None]
"""A quantiser for each group, None where it is stored in floating point."""


class Dropped(nn.Module):
    """Stands for the quantiser of a group of which nothing is stored."""


class StoredGroups(RowCodec):
    """What remains when the projection is part of the convolution before: one field a group, `x̂ = E z + μ`."""

    side = "before"

    def __init__(self, expand: nn.Conv2d, sizes: Sequence[int], quantizers: Quantizers) -> None:
        super().__init__()
        self.expand = expand
        self.sizes = list(sizes)
        self.quantizers = nn.ModuleList(nn.Identity() if quantizer is None else quantizer for quantizer in quantizers)

    @property
    def widths(self) -> list[int]:
        """Each group's width, 0 where it is dropped."""
        return [_width(quantizer) for quantizer in self.quantizers]

    def encode(self, x: Tensor) -> Payload:
        groups = zip(self.quantizers, x.split(self.sizes, dim=1), strict=True)
        return Payload(
            **{
                f"group{number}": _field(quantizer, z)
                for number, (quantizer, z) in enumerate(groups)
                if not isinstance(quantizer, Dropped)
            }
        )

    def decode(self, payload: Payload) -> Tensor:
        return self.expand(self.components(payload))  # type: ignore[no-any-return]

    def components(self, payload: Payload) -> Tensor:
        """The components z (batch, K, H, W), those that are not stored as 0."""
        first = payload[next(iter(payload))]
        z = [
            first.new_zeros(len(first), size, *first.shape[2:])
            if isinstance(quantizer, Dropped)
            else _values(quantizer, payload[f"group{number}"])
            for number, (quantizer, size) in enumerate(zip(self.quantizers, self.sizes, strict=True))
        ]
        return torch.cat(z, 1)

    def clip_channels(self, z: Tensor) -> None:
        """Gives each component of z (batch, K, H, W) its clip."""
        for quantizer, group in zip(self.quantizers, z.split(self.sizes, dim=1), strict=True):
            if isinstance(quantizer, UniformQuantizer):
                quantizer.clip_channels(group)


class GroupCodec(Codec):
    """Components in groups, `z = D x − D μ` and `x̂ = E Q(z) + μ` before the nonlinearity: `H·W·Σ_g n_g·b_g` bits, H and
    W before pooling.

    Group g has the next n_g = `sizes[g]` of the `components`, in b_g bits. `project`, D with bias, folds into the
    convolution before; `expand`, E with bias μ, stays: the nonlinearity stands between it and the next convolution.
    """

    side = "before"

    def __init__(self, components: Components, sizes: Sequence[int], quantizers: Quantizers) -> None:
        super().__init__()
        self.project = pointwise(components.project, -components.project @ components.mean)
        self.core = StoredGroups(pointwise(components.expand, components.mean), sizes, quantizers)

    @property
    def decoder(self) -> nn.Conv2d:
        return self.core.expand

    @property
    def width(self) -> int | None:
        widths = set(self.core.widths)
        return widths.pop() if len(widths) == 1 else None

    def read(self, x: Tensor) -> Tensor:
        return self.core.components(self.encode(x))

    def clip_channels(self, x: Tensor) -> None:
        self.core.clip_channels(self.project(x))

    def encode(self, x: Tensor) -> Payload:
        return self.core.encode(self.project(x))

    def decode(self, payload: Payload) -> Tensor:
        return self.core.decode(payload)

    def fold(self) -> Folded:
        return Folded(self.core, project=self.project)

    def describe(self) -> dict[str, OptionValue]:
        stored = [(size, width) for size, width in zip(self.core.sizes, self.core.widths, strict=True) if width]
        mean_bits = sum(size * width for size, width in stored) / self.project.in_channels
        groups = " ".join(f"{size}x{width}" for size, width in stored)
        return {"rank": sum(size for size, _ in stored), "groups": groups, "mean_bits": round(mean_bits, 4)}


def _width(quantizer: nn.Module) -> int:
    if isinstance(quantizer, UniformQuantizer):
        return quantizer.width
    return 0 if isinstance(quantizer, Dropped) else FLOAT_BITS


def _field(quantizer: nn.Module, z: Tensor) -> Field:
    if isinstance(quantizer, UniformQuantizer):
        return unsigned(quantizer.encode(z), quantizer.width)
    return floating(quantizer(z))


def _values(quantizer: nn.Module, stored: Tensor) -> Tensor:
    return quantizer.decode(stored) if isinstance(quantizer, UniformQuantizer) else stored
