"""Packing of a payload to bytes and back, so that the bits that are counted are bits that exist.

Each image becomes one string of bits, its fields one after the other without gaps, filled up to a whole byte.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from actbench.codec.payload import LENGTH_BITS, Field, Kind, Payload
from actbench.errors import InvalidCodec

_INTEGER_OF = {8: torch.uint8, 16: torch.int16, 32: torch.int32, 64: torch.int64}
_BitArray = NDArray[numpy.uint8]


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
    images: list[list[_BitArray]] = [[] for _ in range(payload.batch)]
    for name, field in payload.fields.items():
        integers = _to_integers(name, field)
        for image, part in zip(images, _split(integers, field), strict=True):
            if field.lengths is not None:
                image.append(_to_bits(numpy.array([part.size]), LENGTH_BITS))
            image.append(_to_bits(part, field.bits))
    return [numpy.packbits(numpy.concatenate(image)).tobytes() if image else b"" for image in images]


def unpack(images: list[bytes], form: Layout, device: torch.device | str = "cpu") -> Payload:
    """Unpacks the payload that `pack` packed, by its layout `form`, into new tensors on a device."""
    cursors = [_Cursor(image) for image in images]
    return Payload(**{part.name: _unpack_field(cursors, part, device) for part in form})


class _Cursor:
    """Reader of one image's bits, from front to back."""

    def __init__(self, image: bytes) -> None:
        self._bits = numpy.unpackbits(numpy.frombuffer(image, dtype=numpy.uint8))
        self._position = 0

    def read(self, count: int, bits: int) -> NDArray[numpy.uint64]:
        end = self._position + count * bits
        taken, self._position = self._bits[self._position : end], end
        words = numpy.zeros(count, dtype=numpy.uint64)
        for plane in taken.reshape(count, bits).T:
            words = (words << numpy.uint64(1)) | plane
        return words


def _to_integers(name: str, field: Field) -> NDArray[numpy.int64]:
    values = field.values.detach().cpu().contiguous()
    if field.kind == "float":
        if not values.is_floating_point() or values.element_size() * 8 != field.bits:
            raise InvalidCodec(f"field {name!r} claims {field.bits} bits for values of type {values.dtype}")
        return values.view(_INTEGER_OF[field.bits]).to(torch.int64).numpy()
    if values.is_complex():
        raise InvalidCodec(f"field {name!r} holds complex values: split them into two fields")
    integers = values.to(torch.int64)
    low = -(1 << (field.bits - 1)) if field.kind == "signed" else 0
    high = low + (1 << field.bits) - 1
    if values.is_floating_point() and not torch.equal(integers.to(values.dtype), values):
        raise InvalidCodec(f"field {name!r} claims {field.bits}-bit integers and holds values that are none")
    if field.bits < 64 and integers.numel() and (int(integers.min()) < low or int(integers.max()) > high):
        raise InvalidCodec(f"field {name!r} claims {field.bits} bits and holds values outside {low} … {high}")
    return integers.numpy()


def _split(integers: NDArray[numpy.int64], field: Field) -> list[NDArray[numpy.int64]]:
    if field.batch == 0:
        return []
    if field.lengths is None:
        return list(integers.reshape(field.batch, math.prod(integers.shape[1:])))
    return numpy.split(integers, numpy.cumsum(field.lengths.cpu().numpy())[:-1])


def _to_bits(integers: NDArray[numpy.int64], bits: int) -> _BitArray:
    shifts = numpy.arange(bits - 1, -1, -1, dtype=numpy.int64)
    return ((integers[:, None] >> shifts) & 1).astype(numpy.uint8).ravel()


def _unpack_field(cursors: list[_Cursor], part: FieldLayout, device: torch.device | str) -> Field:
    if part.shape is not None:
        count = int(numpy.prod(part.shape, dtype=numpy.int64))
        words = [cursor.read(count, part.bits) for cursor in cursors]
        values = _from_words(numpy.stack(words) if words else numpy.zeros((0, count), numpy.uint64), part)
        return Field(values.reshape(len(cursors), *part.shape).to(device), part.bits, part.kind, None, part.side)
    lengths = [int(cursor.read(1, LENGTH_BITS)[0]) for cursor in cursors]
    words = [cursor.read(length, part.bits) for cursor, length in zip(cursors, lengths, strict=True)]
    values = _from_words(numpy.concatenate(words) if words else numpy.zeros(0, numpy.uint64), part)
    counted = torch.tensor(lengths, dtype=torch.int64, device=device)
    return Field(values.to(device), part.bits, part.kind, counted, part.side)


def _from_words(words: NDArray[numpy.uint64], part: FieldLayout) -> Tensor:
    integers = torch.from_numpy(words.view(numpy.int64).copy())
    if part.kind == "float":
        return integers.to(_INTEGER_OF[part.bits]).view(part.dtype)
    if part.kind == "signed" and part.bits < 64:
        integers = integers - ((integers >> (part.bits - 1)) << part.bits)
    return integers.to(part.dtype)
