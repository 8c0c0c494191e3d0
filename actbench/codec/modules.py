"""Modules for the steps between a map's source and the map, as `FeatureMap.between` has them, and 1×1 convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from actbench.feature_map import Operation

NONLINEARITIES: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "hardswish": nn.Hardswish,
    "hardsigmoid": nn.Hardsigmoid,
    "hardtanh": nn.Hardtanh,
    "softplus": nn.Softplus,
    "selu": nn.SELU,
    "prelu": nn.PReLU,
}

POOLINGS: dict[str, type[nn.Module]] = {"max_pool2d": nn.MaxPool2d, "avg_pool2d": nn.AvgPool2d}


def build(operation: Operation) -> nn.Module:
    """Builds the module of one step. Slopes of PReLU are constants: all copies of a step stay the same."""
    kinds = NONLINEARITIES | POOLINGS
    arguments: dict[str, Any] = dict(operation.arguments)
    if operation.name == "prelu":
        return _prelu(arguments["weight"])
    return kinds[operation.name](**arguments)


def build_all(operations: Sequence[Operation]) -> nn.Sequential:
    """Builds the steps as one module, one after the other; without any, the identity."""
    return nn.Sequential(*(build(operation) for operation in operations))


def _prelu(slopes: Sequence[float]) -> nn.PReLU:
    layer = nn.PReLU(len(slopes)).requires_grad_(False)
    layer.weight.copy_(torch.tensor(slopes))
    return layer


def pointwise(matrix: Tensor, bias: Tensor | None = None) -> nn.Conv2d:
    """Builds the 1×1 convolution, in fp32, of a matrix (out, in) and a bias (out,)."""
    layer = nn.Conv2d(matrix.shape[1], matrix.shape[0], 1, bias=bias is not None)
    with torch.no_grad():
        layer.weight.copy_(matrix[:, :, None, None])
        if layer.bias is not None and bias is not None:
            layer.bias.copy_(bias)
    return layer
