"""Static tables of the deployed form: what encoding and decoding need, and no image changes."""

from __future__ import annotations

from actbench.feature_map import FLOAT_BITS
from actbench.network.fold import Pointwise
from actbench.network.quantize import Weight, weight_widths, weights
from actbench.network.splice import Spliced


def static_bits(deployed: Spliced, weight_bits: int) -> dict[str, int]:
    """Counts the bits of every map's tables, by the map's name: those of its codec, and 1×1 convolutions that came from
    it and could not fold. What is part of another convolution is no table; weights are counted as they are quantised.
    """
    found, widths = weights(deployed.module), weight_widths(deployed.module, weight_bits)
    stored = {id(each.tensor): _stored(each, widths[name]) for name, each in found.items()}
    tables = {}
    for name, codec in deployed.codecs().items():
        quantised = [parameter for parameter in codec.parameters() if id(parameter) in stored]
        less = sum(parameter.numel() * FLOAT_BITS - stored[id(parameter)] for parameter in quantised)
        tables[name] = max(0, codec.static_bits() - less)
    for part in deployed.module.modules():
        if isinstance(part, Pointwise):
            tables[part.map_name] += stored[id(part.weight)]
            tables[part.map_name] += 0 if part.bias is None else part.bias.numel() * FLOAT_BITS
    return tables


def _stored(weight: Weight, width: int) -> int:
    """Codes, and a step in fp32 for each output channel."""
    return weight.tensor.numel() * width + (0 if width == FLOAT_BITS else weight.channels * FLOAT_BITS)
