"""Ten solids as height fields: how far the surface rises above the ground at (u, v), NaN beside it.

Local coordinates: the solid is about two units wide, centred at the origin.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Height = Callable[[Tensor, Tensor], Tensor]


def _inside(height: Tensor, condition: Tensor) -> Tensor:
    return torch.where(condition, height, torch.nan)


def _round(squared: Tensor) -> Tensor:
    """Computes √squared where it is positive; elsewhere is beside the solid."""
    return _inside(squared.clamp_min(0).sqrt(), squared > 0)


def _bevelled(distance: Tensor, top: float, slope: float = 3.0) -> Tensor:
    """Makes a flat top with slanting edges from the `distance` to the outline, positive inside."""
    return _inside((slope * distance).clamp_max(top), distance > 0)


def _sphere(u: Tensor, v: Tensor) -> Tensor:
    return _round(1 - u**2 - v**2)


def _box(u: Tensor, v: Tensor) -> Tensor:
    return _bevelled(0.8 - torch.maximum(u.abs(), v.abs()), 0.7)


def _cone(u: Tensor, v: Tensor) -> Tensor:
    height = 1 - (u**2 + v**2).sqrt()
    return _inside(1.2 * height, height > 0)


def _cylinder(u: Tensor, v: Tensor) -> Tensor:
    return torch.where(u.abs() < 0.95, _round(0.6**2 - v**2), torch.nan)


def _torus(u: Tensor, v: Tensor) -> Tensor:
    return _round(0.32**2 - ((u**2 + v**2).sqrt() - 0.66) ** 2)


def _pyramid(u: Tensor, v: Tensor) -> Tensor:
    height = 1 - torch.maximum(u.abs(), v.abs()) / 0.85
    return _inside(1.2 * height, height > 0)


def _star(u: Tensor, v: Tensor) -> Tensor:
    return _bevelled(0.68 + 0.3 * torch.cos(5 * torch.atan2(v, u)) - (u**2 + v**2).sqrt(), 0.5)


def _cross(u: Tensor, v: Tensor) -> Tensor:
    long, wide = torch.maximum(u.abs(), v.abs()), torch.minimum(u.abs(), v.abs())
    return _bevelled(torch.minimum(0.95 - long, 0.36 - wide), 0.5)


def _capsule(u: Tensor, v: Tensor) -> Tensor:
    along = (u.abs() - 0.5).clamp_min(0)
    return _round(0.45**2 - along**2 - v**2)


def _bowl(u: Tensor, v: Tensor) -> Tensor:
    squared = u**2 + v**2
    rim = (1 - squared).clamp_min(0).sqrt()
    hollow = 0.5 * (0.6 - squared).clamp_min(0).sqrt()
    return _inside(rim - hollow, squared < 1)


SOLIDS: dict[str, Height] = {
    "sphere": _sphere,
    "box": _box,
    "cone": _cone,
    "cylinder": _cylinder,
    "torus": _torus,
    "pyramid": _pyramid,
    "star": _star,
    "cross": _cross,
    "capsule": _capsule,
    "bowl": _bowl,
}
"""Class names in the order of their labels."""
