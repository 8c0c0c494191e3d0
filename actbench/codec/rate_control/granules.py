"""Granules: the rows of a map that are one string of bits, so that each can be written and read alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from actbench.codec.bit_strings import Stream, concatenate, join
from actbench.codec.rate_control.rung import Rung

GRANULE = 8
"""Rows of a granule; a map's last one has what remains."""


@dataclass(frozen=True)
class Granules:
    """Strings of some images' granules, one after the other, each image's from top to bottom: `bits` (total,) uint8 of
    zeros and ones, `lengths` (batch, granules) int64."""

    bits: Tensor
    lengths: Tensor

    @property
    def images(self) -> Stream:
        """One string an image: its granules' strings, one after the other."""
        return Stream(self.bits, self.lengths.sum(1))

    def select(self, images: Tensor) -> Granules:
        """Selects the granules of some images, by their indices `images` (n,), in that order."""
        return Granules(self.images.select(images).bits, self.lengths[images])

    def replace(self, images: Tensor, others: Granules) -> Granules:
        """Puts the granules of `others`, image by image, in the place of those of `images` (n,)."""
        order = torch.arange(len(self.lengths), device=self.lengths.device)
        order[images] = len(order) + torch.arange(len(images), device=order.device)
        return concatenate_granules([self, others]).select(order)

    def divide(self, granules: int) -> tuple[Granules, Granules]:
        """Divides each image's granules in two: the first so many, and what follows them."""
        first, rest = self.lengths[:, :granules], self.lengths[:, granules:]
        above, below = self.images.divide(first.sum(1))
        return Granules(above.bits, first), Granules(below.bits, rest)


def concatenate_granules(parts: Sequence[Granules]) -> Granules:
    """Concatenates batches: the granules of all images, in their order."""
    return Granules(concatenate([part.images for part in parts]).bits, torch.cat([part.lengths for part in parts]))


def granule_count(height: int) -> int:
    """Counts the granules of a map of so many rows."""
    return -(-height // GRANULE)


def encode_granules(rung: Rung, x: Tensor) -> Granules:
    """Encodes some rows of a map (batch, C, rows, W), which begin with a granule, to the strings of their granules."""
    coded = [_encoded(rung, part) for part in _in_granules(x)]
    if len(coded) == 1:
        return coded[0]
    full, last = coded
    return Granules(join(full.images, last.images).bits, torch.cat([full.lengths, last.lengths], 1))


def decode_granules(rung: Rung, granules: Granules, rows: int) -> Tensor:
    """Decodes granules of so many rows together to (batch, C, rows, W)."""
    full, rest = divmod(rows, GRANULE)
    if not rest:
        return _decoded(rung, granules, GRANULE)
    if not full:
        return _decoded(rung, granules, rest)
    above, below = granules.divide(full)
    return torch.cat([_decoded(rung, above, GRANULE), _decoded(rung, below, rest)], 2)


def straight_through_granules(rung: Rung, x: Tensor) -> Tensor:
    """Gives some rows (batch, C, rows, W), which begin with a granule, as they are decoded, with gradients."""
    parts = _in_granules(x)
    return torch.cat([_in_rows(rung.straight_through(part.flatten(0, 1)), part.shape[:2]) for part in parts], 2)


def sum_over_granules(count: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Adds up what `count` gives for each granule of the maps `x` (batch, C, H, W) → (batch,)."""
    return torch.cat([count(part.flatten(0, 1)).view(part.shape[:2]) for part in _in_granules(x)], 1).sum(1)


def _in_granules(x: Tensor) -> list[Tensor]:
    """Splits rows (batch, C, rows, W) into full granules and a last, shorter one, where there are such → (batch,
    granules, C, height, W) each."""
    full = x.shape[2] // GRANULE
    above, below = x.tensor_split([full * GRANULE], dim=2)
    parts = [above.unflatten(2, (full, GRANULE)).transpose(1, 2)] if full else []
    return [*parts, below[:, None]] if below.shape[2] else parts


def _encoded(rung: Rung, part: Tensor) -> Granules:
    stream = rung.encode(part.flatten(0, 1))
    return Granules(stream.bits, stream.lengths.view(part.shape[:2]))


def _decoded(rung: Rung, granules: Granules, height: int) -> Tensor:
    """Decodes granules of one height → (batch, C, granules · height, W)."""
    decoded = rung.decode(Stream(granules.bits, granules.lengths.flatten()), height)
    return _in_rows(decoded, granules.lengths.shape)


def _in_rows(parts: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Joins granules (batch · granules, C, height, W), `shape` (batch, granules), to (batch, C, granules · height,
    W)."""
    rows: Tensor = parts.unflatten(0, shape).transpose(1, 2).flatten(2, 3)
    return rows
