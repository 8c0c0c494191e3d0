"""What a map's reconstruction error costs the layers that read it (ours: the paper's criterion is not known)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from actbench.codec import FeatureMap
from actbench_plugins.prochan.importance import Layer


def relative_error(fmap: FeatureMap, readers: Sequence[Layer], x: Tensor, decoded: Tensor) -> float:
    """The error behind each reader over the variance of its output, added up; `x`, `decoded` (images, C, H, W)."""
    total = 0.0
    with torch.no_grad():
        for layer in readers:
            # The layer may be on a GPU or in another type; the sample is in fp32 on the CPU.
            device, dtype = layer.weight.device, layer.weight.dtype
            output, lossy = (layer(_layout(fmap, tensor).to(device, dtype)).float() for tensor in (x, decoded))
            total += _ratio(output, lossy, channels_last=fmap.channels_last)
        if len(readers) < len(fmap.readers) or not readers:
            total += _ratio(x, decoded, channels_last=False)
    return total


def _layout(fmap: FeatureMap, x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1) if fmap.channels_last else x


def _ratio(output: Tensor, lossy: Tensor, *, channels_last: bool) -> float:
    """The squared error over the variance about each channel's mean."""
    positions = (0, 1, 2) if channels_last else (0, 2, 3)
    variance = (output - output.mean(positions, keepdim=True)).square().sum()
    return float((output - lossy).square().sum() / variance.clamp_min(1e-12))
