"""Packing of codes in operators of torch alone, which can be traced: slower than `packed_codes` as it is, and faster
once it is compiled."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn import functional

_WIDEST = 16
"""Codes and the bits beside them are in integers of 32 bits on the way."""


def is_traced(tensor: Tensor) -> bool:
    """Whether operators on a tensor are only written down: it has no values."""
    return isinstance(tensor, FakeTensor)


def pack(codes: Tensor, width: int) -> Tensor:
    """Packs integers (..., n) into bytes (..., ⌈n·width/8⌉), as `packed_codes.pack_codes` does. Raises
    NotImplementedError for codes of more than 16 bits."""
    group, size = _sizes(width)
    count = codes.shape[-1]
    whole = functional.pad(codes.to(torch.int32) & ((1 << width) - 1), (0, -count % group)).unflatten(-1, (-1, group))
    places: list[list[Tensor]] = [[] for _ in range(size)]
    for code, byte, left in _overlaps(width):
        places[byte].append(_shifted(whole[..., code], left))
    packed = torch.stack([_merged(parts) & 255 for parts in places], -1).to(torch.uint8)
    return packed.flatten(-2)[..., : -(-count * width // 8)]


def unpack(packed: Tensor, count: int, width: int, dtype: torch.dtype, *, signed: bool) -> Tensor:
    """Unpacks what `pack` packed → (..., count)."""
    group, size = _sizes(width)
    whole = functional.pad(packed, (0, -packed.shape[-1] % size)).to(torch.int32).unflatten(-1, (-1, size))
    places: list[list[Tensor]] = [[] for _ in range(group)]
    for code, byte, left in _overlaps(width):
        places[code].append(_shifted(whole[..., byte], -left))
    codes = torch.stack([_merged(parts) & ((1 << width) - 1) for parts in places], -1).flatten(-2)[..., :count]
    sign = 1 << (width - 1)
    return ((codes ^ sign) - sign if signed else codes).to(dtype)


def _sizes(width: int) -> tuple[int, int]:
    """The codes, and the bytes, of a group that fills whole bytes."""
    if width > _WIDEST:
        raise NotImplementedError(f"codes of {width} bits")
    group = 8 // math.gcd(8, width)
    return group, group * width // 8


def _overlaps(width: int) -> Iterator[tuple[int, int, int]]:
    """Which code of a group has bits in which byte, and by how many bits it is shifted to the left."""
    group, size = _sizes(width)
    for code in range(group):
        for byte in range(size):
            left = 8 * (byte + 1) - width * (code + 1)
            if code * width < 8 * (byte + 1) and 8 * byte < (code + 1) * width:
                yield code, byte, left


def _shifted(values: Tensor, left: int) -> Tensor:
    return values << left if left >= 0 else values >> -left


def _merged(parts: list[Tensor]) -> Tensor:
    merged = parts[0]
    for part in parts[1:]:
        merged = merged | part
    return merged
