"""Packs a payload into as few bytes as it claims bits: codes side by side in bytes, so that memory really shrinks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from actbench.codec.bit_strings import code_type, from_bits, pack_bits, to_bits, unpack_bits
from actbench.codec.packing import FieldLayout, Layout, layout
from actbench.codec.payload import Field, Payload

_INTEGER_OF = {8: torch.uint8, 16: torch.int16, 32: torch.int32}


@dataclass(frozen=True)
class Form:
    """Form of a compacted payload, beside its bytes: the number of its images, and its layout."""

    batch: int
    layout: Layout


def compact(payload: Payload) -> tuple[list[Tensor], Form]:
    """Packs a payload into tensors, each code in its own number of bits and every field in whole bytes.

    A field gives one tensor, and a field with lengths a second one, of its lengths (batch,) in int32.
    """
    tensors: list[Tensor] = []
    for field in payload.fields.values():
        values = field.values.detach()
        tensors.append(_without_base(values) if field.kind == "float" else _pack(values.flatten(), field.bits))
        if field.lengths is not None:
            tensors.append(field.lengths.to(torch.int32))
    return tensors, Form(payload.batch, layout(payload))


def expand(tensors: Sequence[Tensor], form: Form) -> Payload:
    """Makes the payload again that `compact` packed."""
    remaining = iter(tensors)
    return Payload(**{part.name: _expand(part, form.batch, remaining) for part in form.layout})


def _expand(part: FieldLayout, batch: int, remaining: Iterator[Tensor]) -> Field:
    stored, lengths = next(remaining), None
    if part.shape is None:
        lengths = next(remaining).long()
        shape = torch.Size([int(lengths.sum())])
    else:
        shape = torch.Size([batch, *part.shape])
    values = stored if part.kind == "float" else _codes(stored, part, shape)
    return Field(values, part.bits, part.kind, lengths, part.side)


def _codes(stored: Tensor, part: FieldLayout, shape: torch.Size) -> Tensor:
    codes = _unpack(stored, shape.numel(), part.bits)
    if part.kind == "signed":
        codes = codes.long()
        codes = codes - ((codes >> (part.bits - 1)) << part.bits)
    return codes.to(part.dtype).reshape(shape)


def _without_base(values: Tensor) -> Tensor:
    """Copies a view, which would keep all of the tensor that it is a part of, into a storage of its own."""
    size = values.numel() * values.element_size()
    return values.clone() if values.untyped_storage().nbytes() > size else values


def _pack(codes: Tensor, bits: int) -> Tensor:
    """Packs (n,) integers → (⌈n·bits/8⌉,) uint8, the lowest `bits` of each, one after the other."""
    if bits in _INTEGER_OF:
        return codes.long().to(_INTEGER_OF[bits])
    return pack_bits(to_bits((codes.long() & ((1 << bits) - 1)).to(code_type(bits)), bits))


def _unpack(stored: Tensor, count: int, bits: int) -> Tensor:
    """Unpacks what `_pack` packed → (n,) integers, not negative."""
    if bits in _INTEGER_OF:
        return stored.long() & ((1 << bits) - 1)
    return from_bits(unpack_bits(stored, count * bits).reshape(-1, bits), bits)
