"""Units: what a stripe's work is made of, and how it is carried out."""

from __future__ import annotations

from torch import Tensor, fx

from actbench.codec.packed_payload import PackedPayload
from actbench.codec.payload import Payload
from actbench.codec.rows import ReadsRows, Rows
from actbench.runtime.region import Program, Read


class Units:
    """Carries out each operator as it comes."""

    def encode(self, codec: Rows, x: Tensor, head: Payload) -> PackedPayload:
        """Encodes and packs some rows `x` (batch, C, rows, W)."""
        return PackedPayload.of(codec.encode_rows(x, head))

    def decode(self, codec: ReadsRows, stripe: PackedPayload, head: Payload) -> Tensor:
        """Unpacks and decodes a stripe."""
        return codec.decode_rows(stripe.payload(), head)

    def run(self, program: Program, read: Read) -> dict[fx.Node, Tensor]:
        """Computes a stripe of the targets; `read` gives rows of a source."""
        return program.run(read)
