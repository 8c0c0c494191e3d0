"""Rung: one setting of a coder."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from actbench.codec.bit_strings import Stream
from actbench.info import OptionValue


class Rung(nn.Module, ABC):
    """One setting of a coder: a granule's rows to a string of bits, and back. What a granule is written as depends on
    nothing but its own values."""

    @abstractmethod
    def encode(self, x: Tensor) -> Stream:
        """Encodes a batch of granules (batch, C, height, W), of any height, to one string of bits each."""

    @abstractmethod
    def decode(self, stream: Stream, height: int) -> Tensor:
        """Decodes one string of bits a granule to (batch, C, height, W)."""

    def straight_through(self, x: Tensor) -> Tensor:
        """Gives the values that `decode` reads of what `encode` writes, (batch, C, height, W), with gradients straight
        through what is rounded and around the code, which loses nothing. Override it in learnable methods: here no
        gradient passes."""
        return self.decode(self.encode(x), x.shape[2])

    def lengths(self, x: Tensor) -> Tensor:
        """Counts the bits of the strings → (batch,) int64; override it where they are known without writing the
        strings."""
        return self.encode(x).lengths

    def most_bits(self, x: Tensor) -> Tensor:
        """Counts the bits that the strings have at most → (batch,) int64, in operators of torch and without a branch on
        values: a program that is recorded once chooses rungs by it. Override it where `lengths` writes the strings."""
        return self.lengths(x)

    def describe(self) -> dict[str, OptionValue]:
        """Describes the setting, for the record."""
        return {}
