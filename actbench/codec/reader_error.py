"""What an error of a map costs the layers that read it (ours)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from actbench.codec.layouts import as_tensor
from actbench.feature_map import FeatureMap


@torch.no_grad()
def reader_error(
    fmap: FeatureMap, readers: Sequence[nn.Conv2d | nn.ConvTranspose2d | nn.Linear], target: Tensor, decoded: Tensor
) -> float:
    """The squared error behind each reader over the variance of its output, added up; readers without weights, an
    addition say, count together as one that reads the map as it is. `target`, `decoded`: (images, C, H, W) fp32."""
    total = 0.0
    for layer in readers:
        # The layer may be on a GPU or in another type than the sample.
        device, dtype = layer.weight.device, layer.weight.dtype
        output, lossy = (layer(as_tensor(x, fmap.layout).to(device, dtype)).float() for x in (target, decoded))
        total += _relative(output, lossy, channels_last=not fmap.layout.channels_first)
    if len(readers) < len(fmap.readers) or not readers:
        total += _relative(target, decoded, channels_last=False)
    return total


def _relative(output: Tensor, lossy: Tensor, *, channels_last: bool) -> float:
    """The squared error over the variance about each channel's mean."""
    positions = tuple(range(output.dim() - 1)) if channels_last else (0, 2, 3)
    variance = (output - output.mean(positions, keepdim=True)).square().sum()
    return float((output - lossy).square().sum() / variance.clamp_min(1e-12))
