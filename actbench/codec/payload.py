"""Payload: what a codec stores for a batch of images, and how many bits that is.

Values are counted by image: the first dimension of every field is the batch, or `lengths` says how many values belong
to each image. What is not in a field does not reach `decode`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor

from actbench.errors import InvalidCodec

Kind = Literal["unsigned", "signed", "float"]

LENGTH_BITS = 32
"""What one image's length costs in a field whose number of values depends on the data: decoding needs it too."""


@dataclass(frozen=True)
class Field:
    """One named tensor of a payload, each element stored in `bits` bits, 1 to 64. Raises InvalidCodec where the parts
    do not fit together.

    `values`: (batch, ...) for a fixed number of values an image, or one-dimensional with `lengths` (batch,) where the
    number depends on the data. Integers may live in a floating-point tensor, so that gradients pass. `side` marks side
    information (bit-maps, indices, scales): counted as everything else, and shown in a column of its own.
    """

    values: Tensor
    bits: int
    kind: Kind
    lengths: Tensor | None = None
    side: bool = False

    def __post_init__(self) -> None:
        if self.bits < 1 or self.bits > 64:
            raise InvalidCodec(f"{self.bits} bits for an element: a field has 1 to 64")
        if self.lengths is None and self.values.dim() == 0:
            raise InvalidCodec("a field needs the batch as its first dimension")
        if self.lengths is not None:
            self._check_lengths(self.lengths)

    def _check_lengths(self, lengths: Tensor) -> None:
        whole = lengths.dim() == 1 and not lengths.is_floating_point() and not lengths.is_complex()
        if not whole or bool((lengths < 0).any()):
            raise InvalidCodec("lengths are whole numbers, not negative, one for each image")
        if self.values.dim() != 1 or self.values.numel() != int(lengths.sum()):
            raise InvalidCodec("a field with lengths is one-dimensional and as long as their sum")

    @property
    def batch(self) -> int:
        """Number of images."""
        # Not `len`, which would fix the number where a program for any number of images is recorded.
        return (self.values if self.lengths is None else self.lengths).shape[0]

    def select(self, images: Sequence[int]) -> Field:
        """The field of some of the images, by their indices."""
        chosen = list(images)
        if self.lengths is None:
            return Field(self.values[chosen], self.bits, self.kind, None, self.side)
        parts = self.values.split(self.lengths.tolist())
        values = torch.cat([self.values[:0], *(parts[image] for image in chosen)])
        return Field(values, self.bits, self.kind, self.lengths[chosen], self.side)

    def bits_per_image(self) -> Tensor:
        """Counts the bits of this field for each image → (batch,) int64; a length costs 32 bits."""
        if self.lengths is not None:
            return self.lengths.to("cpu", torch.int64) * self.bits + LENGTH_BITS
        elements = self.values[0].numel() if self.batch else 0
        return torch.full((self.batch,), elements * self.bits, dtype=torch.int64)


def unsigned(values: Tensor, bits: int, *, lengths: Tensor | None = None, side: bool = False) -> Field:
    """Makes a field of integers 0 … 2^bits − 1; `lengths` and `side` as in Field."""
    return Field(values, bits, "unsigned", lengths, side)


def signed(values: Tensor, bits: int, *, lengths: Tensor | None = None, side: bool = False) -> Field:
    """Makes a field of integers −2^(bits−1) … 2^(bits−1) − 1; `lengths` and `side` as in Field."""
    return Field(values, bits, "signed", lengths, side)


def floating(values: Tensor, *, lengths: Tensor | None = None, side: bool = False) -> Field:
    """Makes a field of floating-point values, stored in the bits of the tensor's type; `lengths` and `side` as in
    Field."""
    return Field(values, values.element_size() * 8, "float", lengths, side)


@final
class Payload:
    """Storage of one feature map for a batch of images; the only thing that `decode` sees. Fields have names, and
    `payload[name]` is a field's values. Raises InvalidCodec where fields hold different numbers of images.

    Example:
        >>> codes = torch.tensor([[0, 3, 1], [2, 2, 0]])
        >>> payload = Payload(codes=unsigned(codes, 2), scale=floating(torch.ones(2, 1), side=True))
        >>> payload.bits_per_image(), payload.bits_per_image(side_only=True)
        (tensor([38, 38]), tensor([32, 32]))
    """

    __slots__ = ("fields",)

    def __init__(self, **fields: Field) -> None:
        for name, field in fields.items():
            if type(field) is not Field:
                raise InvalidCodec(f"{name} is no Field: what else it holds would not be counted")
        batches = [field.batch for field in fields.values()] if len(fields) > 1 else []
        if any(batch != batches[0] for batch in batches):
            raise InvalidCodec(f"fields of one payload hold different numbers of images: {sorted(set(batches))}")
        self.fields = fields

    def __getitem__(self, name: str) -> Tensor:
        return self.fields[name].values

    def __iter__(self) -> Iterator[str]:
        return iter(self.fields)

    def lengths(self, name: str) -> Tensor:
        """Numbers (batch,) of values of each image in a field that depends on the data. Raises KeyError for another
        field."""
        lengths = self.fields[name].lengths
        if lengths is None:
            raise KeyError(f"field {name!r} has a fixed number of values an image")
        return lengths

    def select(self, images: Sequence[int]) -> Payload:
        """What is stored of some of the images, by their indices."""
        return Payload(**{name: field.select(images) for name, field in self.fields.items()})

    @property
    def batch(self) -> int:
        """Number of images."""
        return next((field.batch for field in self.fields.values()), 0)

    def bits_per_image(self, *, side_only: bool = False) -> Tensor:
        """Counts the bits stored for each image, side information included, or side information alone → (batch,)
        int64."""
        total = torch.zeros(self.batch, dtype=torch.int64)
        for field in self.fields.values():
            if field.side or not side_only:
                total += field.bits_per_image()
        return total
