"""Stored maps: what exists of a feature map between two layers, and how it is written and read a few rows at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor
from typing_extensions import override

from actbench.codec.packed_payload import PackedPayload
from actbench.codec.payload import LENGTH_BITS, Payload
from actbench.codec.rows import NO_HEAD, Attempts, Collects, Rows
from actbench.network.splice import Encode
from actbench.runtime.shapes import works_in_rows
from actbench.runtime.spans import Span
from actbench.runtime.units import Units

_COPIED = 3
"""Rows are copied out of a tensor, to free the others, where these are one part of so many at least."""


@dataclass
class StoredMap:
    """One feature map in packed form: what is stored once, and a payload for each stripe of rows, in their order."""

    head: PackedPayload
    stripes: list[tuple[Span, PackedPayload]] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        """Bytes that the map takes."""
        return self.head.bytes + sum(stripe.bytes for _, stripe in self.stripes)


class Writer(ABC):
    """Takes in the rows of a map, and leaves a stored map."""

    @abstractmethod
    def add(self, x: Tensor, rows: Span) -> None:
        """Takes in the next rows (batch, C, rows, W)."""

    @abstractmethod
    def finish(self) -> StoredMap | None:
        """Gives the stored map; None where all rows have to come in once more."""


MakeWriter = Callable[[int, int], Writer]
"""Begins to write a map of so many images and rows."""


def writer_for(stage: Encode, units: Units) -> MakeWriter:
    """How a map is written, as its codec works: in rows, in rows with a selection at the end, or on the whole map."""
    codec = stage.codec
    if not works_in_rows(stage):
        return lambda batch, height: _WholeWriter(stage, height)
    if isinstance(codec, Collects):
        return lambda batch, height: _CollectingWriter(codec, batch)
    rows = cast(Rows, codec)
    if isinstance(codec, Attempts):
        return lambda batch, height: _AttemptingWriter(rows, codec, batch)
    return lambda batch, height: _RowsWriter(rows, units)


class _RowsWriter(Writer):
    def __init__(self, codec: Rows, units: Units) -> None:
        self._codec, self._units = codec, units
        self._stored = StoredMap(PackedPayload.of(NO_HEAD))

    @override
    def add(self, x: Tensor, rows: Span) -> None:
        self._stored.stripes.append((rows, self._units.encode(self._codec, x, NO_HEAD)))

    @override
    def finish(self) -> StoredMap:
        return self._stored


class _AttemptingWriter(Writer):
    def __init__(self, codec: Rows, attempts: Attempts, batch: int) -> None:
        self._codec, self._attempts = codec, attempts
        self._begin(self._attempts.first_head(batch))

    def _begin(self, head: Payload) -> None:
        self._head = head
        self._stored = StoredMap(PackedPayload.of(head))
        self._bits: Tensor | None = None

    @override
    def add(self, x: Tensor, rows: Span) -> None:
        stripe = self._codec.encode_rows(x, self._head)
        bits = _bits_without_lengths(stripe)
        self._bits = bits if self._bits is None else self._bits + bits
        self._stored.stripes.append((rows, PackedPayload.of(stripe)))

    @override
    def finish(self) -> StoredMap | None:
        if self._bits is not None:
            head = self._attempts.next_head(self._head, self._bits)
            if head is not None:
                self._begin(head)
                return None
        return self._stored


class _CollectingWriter(Writer):
    def __init__(self, codec: Collects, batch: int) -> None:
        self._collector = codec.collector(batch)
        self._rows: list[Span] = []

    @override
    def add(self, x: Tensor, rows: Span) -> None:
        self._collector.add(x)
        self._rows.append(rows)

    @override
    def finish(self) -> StoredMap:
        stripes = map(PackedPayload.of, self._collector.finish())
        return StoredMap(PackedPayload.of(NO_HEAD), list(zip(self._rows, stripes, strict=True)))


class _WholeWriter(Writer):
    def __init__(self, stage: Encode, height: int) -> None:
        self._stage = stage
        self._whole = Assembled(height)

    @override
    def add(self, x: Tensor, rows: Span) -> None:
        self._whole.add(x, rows)

    @override
    def finish(self) -> StoredMap:
        payload = self._stage(self._whole.tensor)
        rows = Span(0, self._whole.height)
        self._whole = Assembled(rows.stop)  # frees the map before its payload is packed
        return StoredMap(PackedPayload.of(NO_HEAD), [(rows, PackedPayload.of(payload))])


class Assembled:
    """A whole tensor that is put together from its rows."""

    def __init__(self, height: int) -> None:
        self.height = height
        self.tensor = torch.empty(0)

    def add(self, x: Tensor, rows: Span) -> None:
        """Puts rows (batch, C, rows, W) in their place."""
        if rows.height == self.height:
            self.tensor = x
            return
        if not self.tensor.numel():
            self.tensor = x.new_empty(x.shape[0], x.shape[1], self.height, x.shape[3])
        self.tensor[:, :, rows.start : rows.stop] = x


class Window:
    """A stored map that is read from its first row to its last: of what is decoded, only the rows that are still needed
    are kept."""

    def __init__(self, stored: StoredMap, decode: Callable[[PackedPayload, Payload], Tensor], *, last: bool) -> None:
        """Reads a map with what decodes a stripe. Where this is the `last` time, stripes are freed as they are read."""
        self._decode = decode
        self._head = stored.head.payload()
        self._remaining = _taken(stored.stripes) if last else iter(stored.stripes)
        self._base = Span(0, 0)
        self._tensor = torch.empty(0)

    def rows(self, rows: Span, kept: int | None = None) -> Tensor:
        """Decodes rows. `kept`: the first row that a later call needs, none before it; None where nothing is."""
        if self._base.stop < rows.stop:
            self._advance(rows)
        wanted = _part(self._tensor, self._base, rows)
        kept = self._base.stop if kept is None else max(self._base.start, min(kept, self._base.stop))
        self._keep(Span(kept, self._base.stop))
        return wanted

    def _keep(self, rows: Span) -> None:
        tensor = _part(self._tensor, self._base, rows)
        if tensor.untyped_storage().nbytes() < self._tensor.untyped_storage().nbytes():
            self._tensor, self._base = tensor, rows

    def _advance(self, rows: Span) -> None:
        """Decodes stripes up to the last of these rows, and forgets the rows before the first."""
        parts = [self._tensor[:, :, rows.start - self._base.start :]] if rows.start < self._base.stop else []
        stop = self._base.stop
        while stop < rows.stop:
            span, stripe = next(self._remaining)
            stop = span.stop
            if stop > rows.start:
                decoded = self._decode(stripe, self._head)
                parts.append(decoded[:, :, max(rows.start - span.start, 0) :])
        self._tensor = parts[0] if len(parts) == 1 else torch.cat(parts, 2)
        self._base = Span(rows.start, stop)


def _part(tensor: Tensor, base: Span, rows: Span) -> Tensor:
    """Some rows of a tensor of the rows `base`: a copy, where the others are worth the memory."""
    part = tensor[:, :, rows.within(base)]
    return part.clone() if _COPIED * (base.height - rows.height) >= base.height > 0 else part


def _taken(stripes: list[tuple[Span, PackedPayload]]) -> Iterator[tuple[Span, PackedPayload]]:
    while stripes:
        yield stripes.pop(0)


def _bits_without_lengths(payload: Payload) -> Tensor:
    variable = sum(field.lengths is not None for field in payload.fields.values())
    return payload.bits_per_image() - variable * LENGTH_BITS
