"""Three photographs that PyWavelets brings along, 512×512 in grey: squares of them to train on and to test on.

The left half of each is for training, the right half for tests: three pictures are too few to keep whole ones apart.
"""

from __future__ import annotations

import hashlib
from functools import cache

import pywt.data
import torch
from torch import Tensor
from torch.nn import functional

from actbench.errors import UserError

PHOTOGRAPHS_VERSION = 1
"""Of the pictures, of how squares are cut, and of `noisy` and `halved`."""

DIGESTS = {
    "aero": "cc768db67eab13ef8dab887b1b4957796993f501035e8c230d736066de7a8f1e",
    "ascent": "c7777d46c3f4e3119ddbec92ad28c09193202a7a4aab08622bc7e4b4a3ba88e6",
    "camera": "5cb24482a53416f99052258be2b1ee38cd31c559a70c8a8b321cba231b332e21",
}
"""SHA-256 of the pixels of each picture."""

_SIDE, _HALF = 512, 256
_CHUNK = 64
_DEVIATION = 25.0


@cache
def photographs() -> Tensor:
    """The pictures (3, 512, 512), 8 bits. Raises UserError where PyWavelets has others."""
    pictures = []
    for name, digest in DIGESTS.items():
        pixels = getattr(pywt.data, name)()
        if hashlib.sha256(pixels.tobytes()).hexdigest() != digest:
            raise UserError(f"PyWavelets {pywt.__version__} has another picture {name!r}: install 1.9")
        pictures.append(torch.from_numpy(pixels))
    return torch.stack(pictures)


def crops(count: int, size: int, seed: int) -> Tensor:
    """Cuts `count` squares (count, 1, size, size), 8 bits, from anywhere in the left halves, turned and mirrored as the
    seed decides. The first n are the same however many follow."""
    chunks = [_crops_chunk(size, _generator(seed, index)) for index in range(-(-count // _CHUNK))]
    return torch.cat(chunks)[:count]


def tiles(size: int) -> Tensor:
    """Cuts the right halves into squares (n, 1, size, size), 8 bits, that share no pixel: one of each picture in turn,
    from places in a random order, so that the first ones stand for all."""
    squares = photographs()[:, :, _HALF:].unfold(1, size, size).unfold(2, size, size).flatten(1, 2)
    places = torch.randperm(squares.shape[1], generator=_generator(0, 0))
    return squares[:, places].transpose(0, 1).reshape(-1, 1, size, size)


def noisy(pixels: Tensor, seed: int) -> Tensor:
    """Adds white noise with a standard deviation of 25 levels, and rounds and clips to 8 bits, as a sensor stores it.
    The noise of the first n is the same however many follow."""
    parts = pixels.split(_CHUNK)
    noise = [torch.randn(part.shape, generator=_generator(seed, index)) for index, part in enumerate(parts)]
    return _levels(pixels + _DEVIATION * torch.cat(noise))


def halved(pixels: Tensor) -> Tensor:
    """Halves the size (n, 1, H, W) → (n, 1, H/2, W/2), 8 bits: bicubic, with a filter against aliasing."""
    return _levels(functional.interpolate(pixels.float(), scale_factor=0.5, mode="bicubic", antialias=True))


def _crops_chunk(size: int, generator: torch.Generator) -> Tensor:
    pictures = photographs()
    numbers = torch.randint(len(pictures), (_CHUNK,), generator=generator).tolist()
    tops = torch.randint(_SIDE - size + 1, (_CHUNK,), generator=generator).tolist()
    lefts = torch.randint(_HALF - size + 1, (_CHUNK,), generator=generator).tolist()
    turns = torch.randint(8, (_CHUNK,), generator=generator).tolist()
    cut = [
        pictures[number, top : top + size, left : left + size]
        for number, top, left in zip(numbers, tops, lefts, strict=True)
    ]
    return torch.stack([_turned(square, turn) for square, turn in zip(cut, turns, strict=True)])[:, None]


def _turned(square: Tensor, turn: int) -> Tensor:
    """One of a square's eight turned and mirrored forms."""
    return (square if turn < 4 else square.T).rot90(turn % 4)


def _levels(values: Tensor) -> Tensor:
    return values.round().clamp(0, 255).byte()


def _generator(seed: int, index: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed * 1_000_003 + index)
