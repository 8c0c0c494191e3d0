"""Rows: what a codec offers so that a map can be encoded, stored and decoded a few rows at a time.

A map is stored in *stripes*: payloads of some rows each, in their order. Stripes begin at multiples of the codec's
`rows`, and only the last may be of another height. What the stripes of a map decode to, one below the other, is what
the whole map decodes to, however the map is divided: to the bit, or but for the rounding of sums where decoding
convolves; their bits together are those of the whole map, but for the length of each string (`LENGTH_BITS`) where a
field's number of values depends on the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from actbench.codec.codec import Codec
from actbench.codec.payload import LENGTH_BITS, Payload

NO_HEAD = Payload()
"""The head of a map of which nothing is stored but its stripes."""


@runtime_checkable
class ReadsRows(Protocol):
    """A codec that decodes some rows of a map at a time."""

    @property
    def rows(self) -> int:
        """How many rows belong together: stripes begin at multiples of it."""

    def decode_rows(self, stripe: Payload, head: Payload) -> Tensor:
        """Decodes a stripe to (batch, C, rows, W). `head`: what is stored once for the map."""


@runtime_checkable
class Rows(ReadsRows, Protocol):
    """A codec that encodes and decodes some rows of a map at a time."""

    def encode_rows(self, x: Tensor, head: Payload) -> Payload:
        """Encodes some rows `x` (batch, C, rows, W) to a stripe."""


class RowCodec(Codec):
    """A codec of which each row stands for itself: some rows are encoded and decoded as whole maps are."""

    @property
    def rows(self) -> int:
        """Any row begins a stripe."""
        return 1

    def encode_rows(self, x: Tensor, head: Payload) -> Payload:
        """Encodes some rows, as `encode` does."""
        return self.encode(x)

    def decode_rows(self, stripe: Payload, head: Payload) -> Tensor:
        """Decodes some rows, as `decode` does."""
        return self.decode(stripe)


@runtime_checkable
class Attempts(Protocol):
    """Rows of a codec that finds out behind the last row whether its choice for the image stands: rate control. Where
    it does not, the map is written again."""

    def first_head(self, batch: int) -> Payload:
        """Makes the head of the first attempt for `batch` images."""

    def next_head(self, head: Payload, bits: Tensor) -> Payload | None:
        """Makes the head of another attempt, from the `bits` (batch,) int64 that the stripes of this one have together
        without their lengths (`LENGTH_BITS`); None where this one stands."""


class Collector(Protocol):
    """A map that is being written: rows come in, stripes come out at the end."""

    def add(self, x: Tensor) -> None:
        """Takes in the next rows (batch, C, rows, W)."""

    def finish(self) -> Sequence[Payload]:
        """Gives the stripes, as high as the rows that came in."""


@runtime_checkable
class Collects(ReadsRows, Protocol):
    """A codec that works on rows, chooses among all of a map's values what it stores, and needs no more memory on the
    way than for those that may still be chosen."""

    def collector(self, batch: int) -> Collector:
        """Begins to write a map of `batch` images."""


def write_rows(codec: Rows, x: Tensor, heights: Sequence[int]) -> tuple[Payload, list[Payload], Tensor]:
    """Writes maps `x` (batch, C, H, W) in stripes of these heights, in as many attempts as the codec needs → the head,
    the stripes from top to bottom, and the bits (batch,) int64 of all that is stored."""
    parts = x.split(list(heights), dim=2)
    if isinstance(codec, Collects):
        collector = codec.collector(len(x))
        for part in parts:
            collector.add(part)
        stripes = list(collector.finish())
        return NO_HEAD, stripes, _bits(stripes)
    head = codec.first_head(len(x)) if isinstance(codec, Attempts) else NO_HEAD
    while True:
        stripes = [codec.encode_rows(part, head) for part in parts]
        without_lengths = _bits(stripes) - length_bits(stripes)
        following = codec.next_head(head, without_lengths) if isinstance(codec, Attempts) else None
        if following is None:
            return head, stripes, _bits([head, *stripes])
        head = following


def length_bits(stripes: Sequence[Payload]) -> int:
    """Counts the bits that one image's lengths take in these payloads: `LENGTH_BITS` a field whose number of values
    depends on the data."""
    return LENGTH_BITS * sum(field.lengths is not None for stripe in stripes for field in stripe.fields.values())


def _bits(payloads: Sequence[Payload]) -> Tensor:
    """Counts the bits (batch,) int64 of payloads together."""
    return torch.stack([payload.bits_per_image() for payload in payloads if payload.fields]).sum(0)
