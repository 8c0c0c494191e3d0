"""A payload in as many bytes as it claims bits: what training keeps for the backward pass, and the deployed network
between two layers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from actbench.codec.packed_codes import pack_codes, pack_into, packed_bytes, unpack_codes, unpack_into
from actbench.codec.packing import FieldLayout, Layout, layout
from actbench.codec.payload import Field, Payload


@dataclass(frozen=True)
class Form:
    """What a packed payload is, beside its tensors: the number of its images, and its layout."""

    batch: int
    layout: Layout


@dataclass(frozen=True)
class PackedPayload:
    """A payload of which every field is one tensor, in its own number of bits, with each image in whole bytes; a field
    with lengths has a second one, of these (batch,) in int32.

    Codes are uint8, (batch, bytes of an image) or, with lengths, one image's bytes after the other's. Floats stay as
    they are.

    Example:
        >>> packed = PackedPayload.of(Payload(codes=unsigned(torch.tensor([[0, 3, 1], [2, 2, 0]]), 2)))
        >>> packed.bytes, packed.payload()["codes"].tolist()
        (2, [[0, 3, 1], [2, 2, 0]])
    """

    tensors: tuple[Tensor, ...]
    form: Form

    @classmethod
    def of(cls, payload: Payload) -> PackedPayload:
        """Packs a payload. It is not checked: of values outside their bits something else is stored (`packing.pack`
        raises InvalidCodec)."""
        tensors = tuple(tensor for field in payload.fields.values() for tensor in _packed(field))
        return cls(tensors, Form(payload.batch, layout(payload)))

    def payload(self) -> Payload:
        """The payload again, in new tensors but for floats."""
        remaining = iter(self.tensors)
        return Payload(**{part.name: _unpacked(part, self.form.batch, remaining) for part in self.form.layout})

    @property
    def bytes(self) -> int:
        """Bytes of all tensors, lengths included."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.tensors)


def _packed(field: Field) -> Iterator[Tensor]:
    values = field.values.detach()
    if field.kind == "float":
        yield _without_base(values)
    elif field.lengths is None:
        yield pack_codes(values.reshape(field.batch, math.prod(values.shape[1:])), field.bits)
    else:
        yield _pack_images(values, field.lengths.tolist(), field.bits)
    if field.lengths is not None:
        yield field.lengths.to(torch.int32)


def _unpacked(part: FieldLayout, batch: int, remaining: Iterator[Tensor]) -> Field:
    stored = next(remaining)
    lengths = next(remaining).long() if part.shape is None else None
    if part.kind == "float":
        values = stored
    elif lengths is not None:
        values = _unpack_images(stored, lengths.tolist(), part)
    else:
        assert part.shape is not None
        codes = unpack_codes(stored, math.prod(part.shape), part.bits, part.dtype, signed=part.kind == "signed")
        values = codes.reshape(batch, *part.shape)
    return Field(values, part.bits, part.kind, lengths, part.side)


def _pack_images(values: Tensor, lengths: list[int], bits: int) -> Tensor:
    """Packs values (n,), of which `lengths` says how many each image has, image by image."""
    sizes = [packed_bytes(length, bits) for length in lengths]
    packed = torch.empty(sum(sizes), dtype=torch.uint8, device=values.device)
    for image, place in zip(values.split(lengths), packed.split(sizes), strict=True):
        pack_into(place, image, bits)
    return packed


def _unpack_images(packed: Tensor, lengths: list[int], part: FieldLayout) -> Tensor:
    sizes = [packed_bytes(length, part.bits) for length in lengths]
    values = torch.empty(sum(lengths), dtype=part.dtype, device=packed.device)
    for image, place in zip(packed.split(sizes), values.split(lengths), strict=True):
        unpack_into(place, image, part.bits, signed=part.kind == "signed")
    return values


def _without_base(values: Tensor) -> Tensor:
    """Copies a view, which would keep all of the tensor that it is a part of, into a storage of its own."""
    size = values.numel() * values.element_size()
    return values.clone() if values.untyped_storage().nbytes() > size else values
