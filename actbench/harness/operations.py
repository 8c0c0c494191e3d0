"""Operations of a network by layer, before any image is seen: with plain codes in the place of its maps, or with the
codecs that a method makes of noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, fx, nn

from actbench.budget import Bits, Budget
from actbench.codec.codec import Codec
from actbench.codec.method import Method
from actbench.codec.plain import PlainCodec
from actbench.codec.quantizers import UniformQuantizer
from actbench.codec.statistics import MapStatistics
from actbench.errors import Unsupported, UserError
from actbench.feature_map import FLOAT_BITS, FeatureMap
from actbench.measure.compute import Counts, count
from actbench.network import nodes
from actbench.network.deploy import StoredConvolution, deploy
from actbench.network.splice import Encode, Spliced, splice
from actbench.network.trace import TracedNetwork


@dataclass(frozen=True)
class LayerOperations:
    """What one layer computes of an image: `macs`, multiply-accumulates; `bit_operations`, by the widths of what it
    multiplies. `kernel`: height and width of a convolution's; None of other products. `groups`: of its channels."""

    layer: str
    macs: int
    bit_operations: int
    kernel: tuple[int, int] | None = None
    groups: int = 1

    @property
    def pointwise(self) -> bool:
        """Whether it is a 1×1 convolution of all channels."""
        return self.kernel == (1, 1) and self.groups == 1


def plain_operations(network: TracedNetwork, bits: Bits) -> list[LayerOperations]:
    """Counts each layer's operations in the deployed form, with every map in plain codes of the widest that `bits`
    allow. Nothing is computed: counts follow from shapes and widths. Raises Unsupported where a layer's weights cannot
    be quantised."""
    deployed = deploy(splice(network, {fmap.name: _plain(fmap, bits) for fmap in network.maps}), bits.weights)
    deployed.module.to("meta")
    return _operations(network, deployed, torch.empty(1, *network.input_shape, device="meta"), bits)


def method_operations(network: TracedNetwork, method: Method, budget: Budget) -> list[LayerOperations]:
    """Counts each layer's operations, and those of codecs, with the codecs that a method makes for noise within each
    map's allowance; a map that it makes none for is in plain codes, however many bits that takes. Raises UserError for
    a method that plans for a whole network, Unsupported as `plain_operations` does."""
    if type(method).plan is not Method.plan:
        raise UserError(f"{type(method).__name__} plans for a whole network, of its images: `actbench run` counts it")
    random, image = torch.Generator().manual_seed(0), torch.rand(1, *network.input_shape)
    codecs = {fmap.name: _made(fmap, network.maps, method, budget, random) for fmap in network.maps}
    return _operations(network, deploy(splice(network, codecs), budget.bits.weights, image), image, budget.bits)


def _made(
    fmap: FeatureMap, maps: Sequence[FeatureMap], method: Method, budget: Budget, random: torch.Generator
) -> Codec:
    noise = torch.randn(1, fmap.channels, fmap.height, fmap.width, generator=random)
    try:
        return method.codec(
            fmap, MapStatistics.of(noise.relu() if fmap.nonnegative else noise), budget.allowance(fmap, maps)
        )
    except Unsupported:
        return _plain(fmap, budget.bits)


def _plain(fmap: FeatureMap, bits: Bits) -> PlainCodec:
    if bits.high == FLOAT_BITS:
        return PlainCodec(None)
    return PlainCodec(UniformQuantizer(bits.high, 0.0, 1.0, nonnegative=fmap.nonnegative))


def _operations(network: TracedNetwork, deployed: Spliced, image: Tensor, bits: Bits) -> list[LayerOperations]:
    counts = count(deployed.module, image, bits)
    labels = {node.name: nodes.label(node) for node in network.module.graph.nodes}
    return [
        _of_node(labels.get(node.name, nodes.label(node)), node, counts)
        for node in deployed.module.graph.nodes
        if counts.by_node.get(node.name)
    ]


def _of_node(label: str, node: fx.Node, counts: Counts) -> LayerOperations:
    stage = nodes.module_of(node)
    layer = stage.convolution if isinstance(stage, StoredConvolution) else stage
    label = f"{stage.name}, encoded" if isinstance(stage, Encode) else label
    done = LayerOperations(label, counts.macs.get(node.name, 0), counts.by_node[node.name])
    if not isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        return done
    kernel = layer.kernel_size
    return replace(done, kernel=(kernel[0], kernel[1]), groups=layer.groups)
