"""Layouts carried out: a network's tensor as a map, and a map as a network's tensor."""

from __future__ import annotations

from torch import Tensor

from actbench.feature_map import Layout


def as_map(x: Tensor, layout: Layout) -> Tensor:
    """The map (batch, C, H, W) that a network's tensor holds.

    Example:
        >>> tokens = torch.randn(2, 9, 8)
        >>> as_map(tokens, Layout((0, 1, 2), (9, 8), (3, 3))).shape
        torch.Size([2, 8, 3, 3])
    """
    if layout.channels_first:
        return x
    x = x.permute(layout.order)
    if layout.grid:
        x = x.reshape(-1, *layout.grid, layout.sizes[-1])
    return x.permute(0, 3, 1, 2)


def as_tensor(x: Tensor, layout: Layout) -> Tensor:
    """The network's tensor that holds a map (batch, C, H, W): `as_map` backwards."""
    if layout.channels_first:
        return x
    x = x.permute(0, 2, 3, 1)
    if layout.grid:  # the network may take views of it
        x = x.reshape(-1, *layout.sizes).contiguous()
    return x.permute([layout.order.index(place) for place in range(len(layout.order))])
