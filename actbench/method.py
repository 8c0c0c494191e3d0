"""What a plugin author writes: a Method, and the Codec that it makes for a feature map."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol

from torch import Tensor, nn
from typing_extensions import override

from actbench.budget import Allowance, Budget
from actbench.errors import InvalidCodec, Unsupported
from actbench.feature_map import FLOAT_BITS, FeatureMap
from actbench.info import OptionValue
from actbench.payload import Payload, floating, unsigned
from actbench.quantizers import UniformQuantizer
from actbench.recipe import PROTOCOL_RECIPE, Recipe, RecipeName
from actbench.statistics import MapStatistics, SideStatistics

__all__ = [
    "PROTOCOL_RECIPE",
    "Allowance",
    "Budget",
    "Codec",
    "FeatureMap",
    "Folded",
    "InvalidCodec",
    "MapStatistics",
    "Method",
    "Network",
    "Payload",
    "PlainCodec",
    "Plan",
    "Recipe",
    "RecipeName",
    "SideStatistics",
    "Unsupported",
]

Side = Literal["before", "around", "after"]


class Codec(nn.Module, ABC):
    """Encodes one feature map, a batch at a time, and decodes what it stored.

    `side` says where it stands. `after`: it encodes the map as the next layer reads it. `before`: it encodes the
    tensor before the nonlinearity; what `decode` gives goes through nonlinearity and pooling. `around`: it encodes the
    tensor before the nonlinearity, and `decode` gives the map as the next layer reads it.
    """

    side: ClassVar[Side] = "after"

    @abstractmethod
    def encode(self, x: Tensor) -> Payload:
        """(batch, C, H, W) → what is stored of it."""

    @abstractmethod
    def decode(self, payload: Payload) -> Tensor:
        """What was stored → (batch, C, H, W). Whatever the codec remembers from `encode` must not be used here."""

    def forward(self, x: Tensor) -> Tensor:
        """decode(encode(x))"""
        return self.decode(self.encode(x))

    def describe(self) -> dict[str, OptionValue]:
        """What was chosen for this map, for the record: rank, width, …"""
        return {}

    def static_bits(self) -> int:
        """Bits of the tables that encoding or decoding needs and that no image changes; shown beside the footprint."""
        tensors = {id(tensor): tensor for tensor in [*self.parameters(), *self.buffers()]}
        return sum(tensor.numel() * tensor.element_size() * 8 for tensor in tensors.values())

    def operations(self, shape: tuple[int, int, int]) -> int:
        """Bit operations that one (C, H, W) image costs beyond the convolutions that a FLOP counter sees."""
        return 0

    def fallbacks(self, payload: Payload) -> Tensor | None:
        """(batch,) bool: images for which a cheaper setting than the planned one was needed to stay under the ceiling;
        None for a codec whose bits do not depend on the image."""
        return None

    def approach(self, progress: float) -> None:
        """For recipes that compress gradually: be as mild as at this share, 0 to 1, of the way to the planned setting.
        What is stored on the way may be more than the allowance; at 1 the codec is as it was planned."""

    def fold(self) -> Folded | None:
        """The linear ends that can become part of the convolutions around this map, or None."""
        return None

    def conv(self, payload: Payload, convolution: nn.Conv2d) -> Tensor | None:
        """The convolution of the decoded map, computed from the payload; None where this codec cannot."""
        return None

    def conv_weight_grad(self, payload: Payload, gradient: Tensor, convolution: nn.Conv2d) -> Tensor | None:
        """Training track: the gradient of the convolution's weight, (C', C/groups, kh, kw), from what was stored of its
        input and ∂L/∂y `gradient` (batch, C', H', W'), without decoding; None where this codec cannot."""
        return None

    def linear_weight_grad(self, payload: Payload, gradient: Tensor) -> Tensor | None:
        """The same for a linear layer: (out, in), from `gradient` (…, out)."""
        return None


@dataclass(frozen=True)
class Folded:
    """A codec taken apart: `codec = expand ∘ core ∘ project` with linear 1×1 ends, either of which may be missing.

    `expand` must have no bias: behind zero padding a folded bias would be wrong at the borders.
    """

    core: Codec
    project: nn.Conv2d | None = None
    expand: nn.Conv2d | None = None

    def __post_init__(self) -> None:
        if self.expand is not None and self.expand.bias is not None:
            raise InvalidCodec("expand has a bias: it cannot fold exactly into a convolution with zero padding")


class Network(Protocol):
    """What a method may ask of the network that it compresses."""

    @property
    def maps(self) -> tuple[FeatureMap, ...]:
        """All feature maps, in the order in which they are read."""

    def readers(self, fmap: FeatureMap) -> Sequence[nn.Conv2d | nn.Linear]:
        """The layers with weights that read a map."""

    def loss(self, codecs: Mapping[str, Codec]) -> float:
        """The task's mean loss on some calibration images with these codecs in place, the other maps in fp32."""

    def observe(self, fmap: FeatureMap, codecs: Mapping[str, Codec], images: int) -> MapStatistics:
        """Statistics of a map as it is with these codecs in place, on the first `images` calibration images: the same
        images, in the same order, as in the samples of the fp32 network's statistics."""


@dataclass(frozen=True)
class Plan:
    """A codec for each feature map, by the map's name. A map without one is stored in fp32."""

    codecs: Mapping[str, Codec]
    notes: tuple[str, ...] = field(default=())


class Method:
    """A way to make codecs for a network. Override `codec`, or `plan` to allocate across the whole network."""

    def __init__(self, options: Mapping[str, OptionValue]) -> None:
        self.options = options

    def codec(self, fmap: FeatureMap, stats: MapStatistics, allowance: Allowance) -> Codec:
        """The best codec for one map within its allowance. Raises Unsupported with the reason where there is none."""
        raise Unsupported(f"{type(self).__name__} defines neither codec nor plan")

    def recipe(self, name: RecipeName) -> Recipe:
        """How the method is trained in the open division: with the protocol's recipe, in which its options may choose a
        strategy, or with its authors', where MethodInfo.recipe says that there is one."""
        return PROTOCOL_RECIPE

    def saving(self, fmap: FeatureMap, stats: MapStatistics, allowance: Allowance) -> Codec:
        """Training track: the codec for what the layers that read a map save of it. It stands after the nonlinearity,
        and encodes a batch image by image, or whole, as a payload of one item. The allowance is for one image."""
        return self.codec(fmap, stats, allowance)

    def plan_saving(self, network: Network, stats: Mapping[str, MapStatistics], budget: Budget) -> Plan:
        """Training track: a codec for every map that a trained layer reads; `network.maps` are these. A whole map that
        fits in the widest code is quantised and otherwise left alone."""
        codecs: dict[str, Codec] = {}
        for fmap in network.maps:
            allowance = budget.allowance(fmap, network.maps)
            if allowance.leaves_alone(fmap):
                codecs[fmap.name] = PlainCodec.calibrated(fmap, stats[fmap.name], allowance.widths[0])
            else:
                codecs[fmap.name] = self.saving(fmap, stats[fmap.name], allowance)
        return Plan(codecs)

    def training_form(self, module: nn.Module) -> nn.Module:
        """Training track, for a reference: the same computation, carried out so that it keeps less, for example again
        in backward. The module's parameters must stay its own, in their order. Raises Unsupported with the reason where
        this cannot help."""
        return module

    def plan(self, network: Network, stats: Mapping[str, MapStatistics], budget: Budget) -> Plan:
        """A codec for every map. A map that already fits at the widest code is quantised and left alone otherwise."""
        codecs: dict[str, Codec] = {}
        for fmap in network.maps:
            allowance = budget.allowance(fmap, network.maps)
            if allowance.leaves_alone(fmap):
                codecs[fmap.name] = PlainCodec.calibrated(fmap, stats[fmap.name], allowance.widths[0])
            else:
                codecs[fmap.name] = self.codec(fmap, stats[fmap.name], allowance)
        return Plan(codecs)


class PlainCodec(Codec):
    """A map stored as it is: fp32, or each value as one code of a clipped uniform quantiser."""

    def __init__(self, quantizer: UniformQuantizer | None) -> None:
        super().__init__()
        self.quantizer = quantizer

    @classmethod
    def calibrated(cls, fmap: FeatureMap, stats: MapStatistics, width: int) -> PlainCodec:
        """With the clip of least squared error on the calibration sample; `width` 32 means no quantisation."""
        if width == FLOAT_BITS:
            return cls(None)
        return cls(UniformQuantizer.calibrated(width, stats.after.sample, nonnegative=fmap.nonnegative))

    @override
    def encode(self, x: Tensor) -> Payload:
        if self.quantizer is None:
            return Payload(values=floating(x))
        return Payload(codes=unsigned(self.quantizer.encode(x), self.quantizer.width))

    @override
    def decode(self, payload: Payload) -> Tensor:
        return payload["values"] if self.quantizer is None else self.quantizer.decode(payload["codes"])

    @override
    def describe(self) -> dict[str, OptionValue]:
        return {"bits": FLOAT_BITS if self.quantizer is None else self.quantizer.width}
