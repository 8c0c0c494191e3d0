"""Weights of a deployed network as the integers and steps that they are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from actbench.feature_map import FLOAT_BITS
from actbench.network.quantize import Weight, weight_widths, weights

_EXACT = 1e-5
"""How far, of the largest, a weight may be from a multiple of its step: what rounding in fp32 leaves."""


@dataclass(frozen=True)
class Codes:
    """Integers of `width` bits in the shape of the weights, and a step (channels,) for each output channel, which is
    dimension `axis`."""

    integers: Tensor
    steps: Tensor
    axis: int
    width: int


def weight_codes(deployed: fx.GraphModule, width: int) -> Mapping[int, Codes]:
    """The codes of all weights that were rounded to `width` bits, by the `id` of the parameter.

    Rounding clips each channel's largest magnitude to the largest code, so that this magnitude tells the step. Weights
    of transposed convolutions in groups are left out where one dimension does not hold their steps.
    """
    found = weights(deployed)
    widths = {name: bits for name, bits in weight_widths(deployed, width).items() if bits != FLOAT_BITS}
    codes = {id(found[name].tensor): _codes(found[name], bits) for name, bits in widths.items()}
    return {number: made for number, made in codes.items() if made is not None}


def _codes(weight: Weight, width: int) -> Codes | None:
    tensor = weight.tensor.detach()
    if weight.groups not in (None, 1) and tensor.shape[1] > 1:
        return None
    axis = 1 if weight.groups == 1 else 0
    channels = tensor.transpose(0, axis)
    largest = channels.flatten(1).abs().amax(1)
    steps = torch.where(largest > 0, largest, 1.0) / ((1 << (width - 1)) - 1)
    exact = channels / steps.view(-1, *[1] * (tensor.dim() - 1))
    integers = exact.round()
    if float((exact - integers).abs().max()) > _EXACT * (1 << (width - 1)):
        return None  # not rounded to one step a channel
    return Codes(integers.transpose(0, axis).to(torch.int32), steps, axis, width)
