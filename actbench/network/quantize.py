"""Quantisation of weights: uniform, symmetric, one scale an output channel, after folding."""

from __future__ import annotations

import torch
from torch import Tensor, fx, nn

from actbench.feature_map import FLOAT_BITS

LEAST_AT_THE_ENDS = 8
"""First and last layers keep at least so many bits (protocol)."""

_CANDIDATES = 20


def weight_layers(module: nn.Module) -> dict[str, nn.Conv2d | nn.Linear]:
    """Finds convolutions and linear layers, by name, in the order in which they are called."""
    layers = {name: part for name, part in module.named_modules() if isinstance(part, nn.Conv2d | nn.Linear)}
    if not isinstance(module, fx.GraphModule):
        return layers
    calls = [str(node.target) for node in module.graph.nodes if node.op == "call_module"]
    inside = {name: next((i for i, call in enumerate(calls) if _within(name, call)), len(calls)) for name in layers}
    return dict(sorted(layers.items(), key=lambda item: inside[item[0]]))


def weight_widths(module: nn.Module, width: int) -> dict[str, int]:
    """Chooses the width of every layer's weights, in bits: `width`, and 8 or more for the first and the last layer."""
    names = list(weight_layers(module))
    ends = {names[0], names[-1]} if names else set()
    return {name: max(width, LEAST_AT_THE_ENDS) if name in ends else width for name in names}


def quantize_weights(module: nn.Module, width: int) -> None:
    """Rounds all weights in place to `width`-bit codes; 32 leaves them alone. Biases stay in fp32."""
    layers = weight_layers(module)
    for name, bits in weight_widths(module, width).items():
        if bits != FLOAT_BITS:
            weight = layers[name].weight
            weight.data.copy_(quantized(weight.data, bits))


def quantized(weight: Tensor, width: int) -> Tensor:
    """Rounds weights (out, ...) to multiples of each output channel's step, with codes −(2^(w−1)−1) … 2^(w−1)−1.

    The step is the one of least squared error among fractions of the largest magnitude.
    """
    rows = weight.flatten(1).float()
    largest = rows.abs().amax(1, keepdim=True).clamp_min(1e-12)
    best, least = rows, torch.full_like(largest, torch.inf)
    for fraction in torch.linspace(1.0, 0.3, _CANDIDATES).tolist():
        rounded = _rounded(rows, largest * fraction, width)
        error = (rounded - rows).square().sum(1, keepdim=True)
        best, least = torch.where(error < least, rounded, best), torch.minimum(error, least)
    return best.reshape(weight.shape).to(weight.dtype)


def _rounded(rows: Tensor, largest: Tensor, width: int) -> Tensor:
    top = (1 << (width - 1)) - 1
    step = largest / top
    return (rows / step).round().clamp(-top, top) * step


def _within(name: str, call: str) -> bool:
    return name == call or name.startswith(f"{call}.")
