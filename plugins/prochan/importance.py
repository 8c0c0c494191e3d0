"""How much the layers that read a map make of an error in each of its channels (ours)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from actbench.feature_map import FeatureMap

Layer = nn.Conv2d | nn.ConvTranspose2d | nn.Linear


def importance(fmap: FeatureMap, readers: Sequence[Layer]) -> Tensor:
    """Matrix M (C, C) fp64, `Σ Wᵀ W` over readers and kernel positions: `eᵀ M e` is about what an error e of the map
    becomes behind them. A reader without weights, an addition say, counts as the mean of the others."""
    matrix = torch.zeros(fmap.channels, fmap.channels, dtype=torch.float64)
    for layer in readers:
        weight = layer.weight.detach().double().cpu()
        if isinstance(layer, nn.ConvTranspose2d):
            matrix += _of_transposed(weight, layer.groups)
        elif isinstance(layer, nn.Conv2d) and layer.groups > 1:
            matrix += torch.diag(_by_input_channel(weight, layer.groups))
        else:
            flat = weight.reshape(weight.shape[0], weight.shape[1], -1)
            matrix += torch.einsum("ocp,odp->cd", flat, flat)
    if len(readers) < len(fmap.readers) or not readers:
        mean = matrix.diagonal().mean() if readers else torch.ones((), dtype=torch.float64)
        matrix += mean * torch.eye(fmap.channels, dtype=torch.float64)
    return matrix


def _of_transposed(weight: Tensor, groups: int) -> Tensor:
    """Weights (in, out/groups, kh, kw): channels of one group add up in an output, those of different ones do not."""
    grouped = weight.reshape(groups, weight.shape[0] // groups, -1)
    joined: Tensor = torch.block_diag(*(grouped @ grouped.mT))
    return joined


def _by_input_channel(weight: Tensor, groups: int) -> Tensor:
    """The energy of each input channel's weights: (out, in/groups, kh, kw) → (in,)."""
    grouped = weight.square().sum((2, 3)).reshape(groups, -1, weight.shape[1])
    return grouped.sum(1).flatten()
