"""Small scenes drawn from a seed: lit, textured, occluding solids, with label, segmentation mask and depth.

Each scene has a main object, the largest, whose class is the label, and one to three smaller ones of other classes,
nearer or farther. Lambert lighting from a random direction, textures on objects and ground, sensor noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from actbench.workloads.solids import SOLIDS

CLASSES = tuple(SOLIDS)
RENDERER_VERSION = 1
TRAINING_SEED = 1
EVALUATION_SEED = 2
MEAN, DEVIATION = 0.5, 0.25
"""How a network gets the pixels: `(image − MEAN) / DEVIATION`."""

_CHUNK = 64
_OBJECTS = 4
_GROUND = 4.0
"""Distance of the ground from the camera, in half widths of the image."""


@dataclass(frozen=True)
class Scenes:
    """Scenes as tensors: `images` (n, 3, size, size) fp32 in [0, 1], at 8-bit levels; `labels` (n,) int64, 0 … 9;
    `masks` (n, size, size) int64, 0 for the ground, class + 1 of the object that is seen; `depth` (n, size, size) fp32,
    distance from the camera, the ground farthest."""

    images: Tensor
    labels: Tensor
    masks: Tensor
    depth: Tensor


def render(count: int, seed: int, size: int = 64) -> Scenes:
    """Renders `count` scenes of size×size pixels. The first n are the same however many follow. Raises ValueError for
    none, or under 16 pixels."""
    if count < 1 or size < 16:
        raise ValueError(f"count {count} and size {size}: at least 1 scene of 16 pixels")
    # Always whole chunks, each with a generator of its own: what a scene looks like depends on its index alone.
    chunks = [_render_chunk(seed * 1_000_003 + index, size) for index in range(-(-count // _CHUNK))]
    images, labels, masks, depth = (torch.cat(parts)[:count] for parts in zip(*chunks, strict=True))
    return Scenes(images, labels, masks, depth)


class _Draw:
    """Random numbers for one chunk of scenes."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(_CHUNK, *shape, generator=self._generator) * (high - low) + low

    def integers(self, high: int, *shape: int) -> Tensor:
        return torch.randint(high, (_CHUNK, *shape), generator=self._generator)

    def noise(self, *shape: int) -> Tensor:
        return torch.randn(_CHUNK, *shape, generator=self._generator)


def _render_chunk(seed: int, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    draw = _Draw(seed)
    axis = (torch.arange(size) + 0.5) / size * 2 - 1
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    light = _light(draw)
    image = _texture(draw, x.expand(_CHUNK, -1, -1), y.expand(_CHUNK, -1, -1), size)
    image = image * (0.75 + 0.25 * draw.uniform(-1, 1, 1, 1, 1) * x)
    depth = torch.full((_CHUNK, size, size), _GROUND)
    masks = torch.zeros(_CHUNK, size, size, dtype=torch.int64)
    labels = draw.integers(len(CLASSES))
    for number in range(_OBJECTS):
        image, depth, masks = _add_object(draw, number, labels, light, (x, y), (image, depth, masks))
    image = image * draw.uniform(0.65, 1.1, 1, 1, 1) + draw.uniform(0.02, 0.11, 1, 1, 1) * draw.noise(3, size, size)
    return (image.clamp(0, 1) * 255).round() / 255, labels, masks, depth


def _add_object(
    draw: _Draw,
    number: int,
    labels: Tensor,
    light: Tensor,
    grid: tuple[Tensor, Tensor],
    scene: tuple[Tensor, Tensor, Tensor],
) -> tuple[Tensor, Tensor, Tensor]:
    """Draws one object into every scene of a chunk; the first is the main one, the last two are present by chance."""
    main = number == 0
    classes = labels if main else (labels + 1 + draw.integers(len(CLASSES) - 1)) % len(CLASSES)
    scale = draw.uniform(0.34, 0.62, 1, 1) if main else draw.uniform(0.16, 0.3, 1, 1)
    reach = 0.42 if main else 0.8
    u, v = _local(draw, grid, scale, reach)
    height = _heights(classes, u, v) * scale
    lift = draw.uniform(0, 0.2, 1, 1) if main else draw.uniform(0, 1.0, 1, 1)
    present = torch.ones(_CHUNK, 1, 1) if number < 2 else draw.uniform(0, 1, 1, 1).round()
    shade = _shade(height, light)
    colour = _texture(draw, u, v, u.shape[-1]) * shade[:, None]
    image, depth, masks = scene
    distance = _GROUND - lift - height - 1e-3
    visible = (distance < depth) & (present > 0)  # NaN, beside the solid, is never nearer
    return (
        torch.where(visible[:, None], colour, image),
        torch.where(visible, distance, depth),
        torch.where(visible, (classes + 1)[:, None, None], masks),
    )


def _local(draw: _Draw, grid: tuple[Tensor, Tensor], scale: Tensor, reach: float) -> tuple[Tensor, Tensor]:
    """Computes the object's local coordinates: shifted, turned, stretched a little."""
    x, y = grid
    left, up = draw.uniform(-reach, reach, 1, 1), draw.uniform(-reach, reach, 1, 1)
    angle, stretch = draw.uniform(0, 2 * math.pi, 1, 1), draw.uniform(0.8, 1.25, 1, 1)
    across, along = (x - left) / scale, (y - up) / scale
    u = (across * angle.cos() + along * angle.sin()) * stretch
    v = (along * angle.cos() - across * angle.sin()) / stretch
    return u, v


def _heights(classes: Tensor, u: Tensor, v: Tensor) -> Tensor:
    heights = torch.empty_like(u)
    for label, height in enumerate(SOLIDS.values()):
        chosen = classes == label
        heights[chosen] = height(u[chosen], v[chosen])
    return heights


def _light(draw: _Draw) -> Tensor:
    """Draws unit vectors (chunk, 3) towards the light, somewhere above."""
    angle, tilt = draw.uniform(0, 2 * math.pi), draw.uniform(0.3, 1.1)
    return torch.stack([tilt.sin() * angle.cos(), tilt.sin() * angle.sin(), tilt.cos()], dim=1)


def _shade(height: Tensor, light: Tensor) -> Tensor:
    """Computes ambient light and Lambert's cosine, with normals from differences of the height field."""
    surface = torch.nan_to_num(height)
    pixel = 2 / height.shape[-1]
    down, right = torch.gradient(surface, spacing=pixel, dim=(1, 2))
    cosine = light[:, 2, None, None] - right * light[:, 0, None, None] - down * light[:, 1, None, None]
    cosine = cosine / (1 + right**2 + down**2).sqrt()
    return 0.3 + 0.7 * cosine.clamp_min(0)


def _texture(draw: _Draw, u: Tensor, v: Tensor, size: int) -> Tensor:
    """Draws textures (chunk, 3, size, size): two colours mixed by stripes, checks, smooth noise, or not at all."""
    first, second = draw.uniform(0.1, 1, 3, 1, 1), draw.uniform(0.1, 1, 3, 1, 1)
    frequency, phase = draw.uniform(3, 9, 1, 1), draw.uniform(0, 6, 1, 1)
    stripes = torch.sin(frequency * u + phase)
    checks = stripes * torch.sin(frequency * v + phase)
    cloud = functional.interpolate(draw.noise(1, 8, 8), size=(size, size), mode="bicubic")[:, 0]
    patterns = torch.stack([torch.zeros_like(u), stripes.sign(), checks.sign(), cloud.clamp(-1, 1)])
    pattern = patterns[draw.integers(4), torch.arange(_CHUNK)][:, None]
    contrast = draw.uniform(0.2, 1, 1, 1, 1)
    return first + (second - first) * (0.5 + 0.5 * contrast * pattern)
