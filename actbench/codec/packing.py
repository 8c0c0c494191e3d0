"""Packing of a payload to bytes and back, so that the bits that are counted are bits that exist.

Each image becomes one string of bits, its fields one after the other without gaps, filled up to a whole byte.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from actbench.codec.packed_codes import pack_codes, packed_bytes, unpack_codes
from actbench.codec.payload import LENGTH_BITS, Field, Kind, Payload
from actbench.errors import InvalidCodec

_INTEGER_OF = {8: torch.uint8, 16: torch.int16, 32: torch.int32, 64: torch.int64}
_Bytes = NDArray[numpy.uint8]
_Part = tuple[_Bytes, int]
"""Packed codes, and how many bits they have."""


@dataclass(frozen=True)
class FieldLayout:
    """Layout of a field, known before any image is seen: `bits` of each element, and `shape`, one image's, None where
    the number of its values varies."""

    name: str
    kind: Kind
    bits: int
    dtype: torch.dtype
    shape: tuple[int, ...] | None
    side: bool


Layout = tuple[FieldLayout, ...]


def layout(payload: Payload) -> Layout:
    """Describes the fields of a payload. The layout is the same for every image, or it would carry information that
    nobody counts."""
    return tuple(
        FieldLayout(
            name,
            field.kind,
            field.bits,
            field.values.dtype,
            tuple(field.values.shape[1:]) if field.lengths is None else None,
            field.side,
        )
        for name, field in payload.fields.items()
    )


def pack(payload: Payload) -> list[bytes]:
    """Packs a payload into one string of bytes for each image. Raises InvalidCodec where a value does not fit into its
    bits."""
    images: list[list[_Part]] = [[] for _ in range(payload.batch)]
    for name, field in payload.fields.items():
        for image, parts in zip(images, _packed(_to_integers(name, field), field), strict=True):
            image += parts
    return [_joined(image) for image in images]


def unpack(images: list[bytes], form: Layout, device: torch.device | str = "cpu") -> Payload:
    """Unpacks the payload that `pack` packed, by its layout `form`, into new tensors on a device."""
    cursors = [_Cursor(image) for image in images]
    return Payload(**{part.name: _unpack_field(cursors, part, device) for part in form})


class _Cursor:
    """Reader of one image's bits, from front to back."""

    def __init__(self, image: bytes) -> None:
        self._bytes = numpy.frombuffer(image + b"\0", dtype=numpy.uint8)
        self._position = 0

    def read(self, count: int, bits: int) -> _Bytes:
        """The next codes, as bytes that begin with the first of their bits; what follows the last is anything."""
        first, shift = divmod(self._position, 8)
        self._position += count * bits
        taken = self._bytes[first : first + packed_bytes(count, bits) + 1]
        moved: _Bytes = (taken[:-1] << numpy.uint8(shift)) | (taken[1:] >> numpy.uint8(8 - shift))
        return moved


def _to_integers(name: str, field: Field) -> Tensor:
    values = field.values.detach().cpu().contiguous()
    if field.kind == "float":
        if not values.is_floating_point() or values.element_size() * 8 != field.bits:
            raise InvalidCodec(f"field {name!r} claims {field.bits} bits for values of type {values.dtype}")
        return values.view(_INTEGER_OF[field.bits])
    if values.is_complex():
        raise InvalidCodec(f"field {name!r} holds complex values: split them into two fields")
    integers = values.to(torch.int64)
    low = -(1 << (field.bits - 1)) if field.kind == "signed" else 0
    high = low + (1 << field.bits) - 1
    if values.is_floating_point() and not torch.equal(integers.to(values.dtype), values):
        raise InvalidCodec(f"field {name!r} claims {field.bits}-bit integers and holds values that are none")
    if field.bits < 64 and integers.numel() and (int(integers.min()) < low or int(integers.max()) > high):
        raise InvalidCodec(f"field {name!r} claims {field.bits} bits and holds values outside {low} … {high}")
    return integers


def _packed(integers: Tensor, field: Field) -> Iterator[list[_Part]]:
    """Packs each image's integers, and before them how many they are where that depends on the image."""
    if field.lengths is None:
        rows = integers.reshape(field.batch, math.prod(integers.shape[1:]))
        for row in pack_codes(rows, field.bits).numpy():
            yield [(row, rows.shape[1] * field.bits)]
        return
    for image in integers.split(field.lengths.tolist()) if field.batch else ():
        length = numpy.frombuffer(len(image).to_bytes(LENGTH_BITS // 8, "big"), numpy.uint8)
        yield [(length, LENGTH_BITS), (pack_codes(image, field.bits).numpy(), len(image) * field.bits)]


def _joined(parts: list[_Part]) -> bytes:
    """Joins strings of bits; a part's bytes are filled up with zeros behind its bits."""
    total = sum(bits for _, bits in parts)
    joined, position = numpy.zeros(packed_bytes(total, 1) + 1, numpy.uint8), 0
    for packed, bits in parts:
        first, shift = divmod(position, 8)
        joined[first : first + len(packed)] |= packed >> shift
        joined[first + 1 : first + 1 + len(packed)] |= packed << (8 - shift)
        position += bits
    return joined[:-1].tobytes()


def _unpack_field(cursors: list[_Cursor], part: FieldLayout, device: torch.device | str) -> Field:
    if part.shape is not None:
        count = math.prod(part.shape)
        rows = [cursor.read(count, part.bits) for cursor in cursors]
        packed = numpy.stack(rows) if rows else numpy.zeros((0, packed_bytes(count, part.bits)), numpy.uint8)
        values = _values(packed, count, part).reshape(len(cursors), *part.shape)
        return Field(values.to(device), part.bits, part.kind, None, part.side)
    lengths = [int.from_bytes(cursor.read(1, LENGTH_BITS).tobytes(), "big") for cursor in cursors]
    images = [
        _values(cursor.read(length, part.bits), length, part) for cursor, length in zip(cursors, lengths, strict=True)
    ]
    values = torch.cat([torch.empty(0, dtype=part.dtype), *images])
    counted = torch.tensor(lengths, dtype=torch.int64, device=device)
    return Field(values.to(device), part.bits, part.kind, counted, part.side)


def _values(packed: _Bytes, count: int, part: FieldLayout) -> Tensor:
    if part.kind == "float":
        return unpack_codes(torch.from_numpy(packed), count, part.bits, _INTEGER_OF[part.bits]).view(part.dtype)
    return unpack_codes(torch.from_numpy(packed), count, part.bits, part.dtype, signed=part.kind == "signed")
