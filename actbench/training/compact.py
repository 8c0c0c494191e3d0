"""A payload in as few bytes as it claims bits: codes side by side in bytes, so that memory really shrinks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from actbench.codec.bit_strings import code_type, from_bits, pack_bits, to_bits, unpack_bits
from actbench.codec.payload import Field, Kind, Payload

_WHOLE = {8: torch.uint8, 16: torch.int16, 32: torch.int32}


@dataclass(frozen=True)
class CompactField:
    """What is known of a field beside its bytes."""

    name: str
    kind: Kind
    bits: int
    side: bool
    shape: tuple[int, ...]
    dtype: torch.dtype
    has_lengths: bool


Form = tuple[CompactField, ...]


def compact(payload: Payload) -> tuple[list[Tensor], Form]:
    """Tensors that hold a payload, each code in its own number of bits and every field in whole bytes."""
    tensors: list[Tensor] = []
    form = []
    for name, field in payload.fields.items():
        values = field.values.detach()
        form.append(
            CompactField(
                name, field.kind, field.bits, field.side, tuple(values.shape), values.dtype, field.lengths is not None
            )
        )
        tensors.append(_alone(values) if field.kind == "float" else _pack(values.flatten(), field.bits))
        if field.lengths is not None:
            tensors.append(field.lengths.to(torch.int32))
    return tensors, tuple(form)


def expand(tensors: Sequence[Tensor], form: Form) -> Payload:
    """The payload that `compact` took apart."""
    left = iter(tensors)
    return Payload(**{field.name: _expand(field, left) for field in form})


def _expand(field: CompactField, left: Iterator[Tensor]) -> Field:
    stored = next(left)
    values = stored
    if field.kind != "float":
        codes = _unpack(stored, torch.Size(field.shape).numel(), field.bits)
        if field.kind == "signed":
            codes = codes.long()
            codes = codes - ((codes >> (field.bits - 1)) << field.bits)
        values = codes.to(field.dtype).reshape(field.shape)
    lengths = next(left).long() if field.has_lengths else None
    return Field(values, field.bits, field.kind, lengths, field.side)


def _alone(values: Tensor) -> Tensor:
    """In a storage of its own: a view would keep all that it is a part of."""
    small = values.numel() * values.element_size()
    return values.clone() if values.untyped_storage().nbytes() > small else values


def _pack(codes: Tensor, bits: int) -> Tensor:
    """(n,) integers → (⌈n·bits/8⌉,) uint8, the lowest `bits` of each, one after the other."""
    if bits in _WHOLE:
        return codes.long().to(_WHOLE[bits])
    return pack_bits(to_bits((codes.long() & ((1 << bits) - 1)).to(code_type(bits)), bits))


def _unpack(stored: Tensor, count: int, bits: int) -> Tensor:
    """What `_pack` packed → (n,) integers, not negative."""
    if bits in _WHOLE:
        return stored.long() & ((1 << bits) - 1)
    return from_bits(unpack_bits(stored, count * bits).reshape(-1, bits), bits)
