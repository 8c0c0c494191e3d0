"""A ladder of settings, of which each image takes the first whose stream fits into the map's allowance."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from typing_extensions import override

from actbench.codec.bit_strings import Stream, concatenate
from actbench.codec.codec import Codec
from actbench.codec.payload import LENGTH_BITS, Payload, unsigned
from actbench.errors import InvalidCodec
from actbench.info import OptionValue


class Rung(nn.Module, ABC):
    """One setting of a coder: a map to a string of bits, and back."""

    @abstractmethod
    def encode(self, x: Tensor) -> Stream:
        """Encodes a batch (batch, C, H, W) to one string of bits an image."""

    @abstractmethod
    def decode(self, stream: Stream) -> Tensor:
        """Decodes one string of bits an image to (batch, C, H, W)."""

    def lengths(self, x: Tensor) -> Tensor:
        """Counts the bits of the strings → (batch,) int64; override it where they are known without writing the
        strings."""
        return self.encode(x).lengths

    def describe(self) -> dict[str, OptionValue]:
        """Describes the setting, for the record."""
        return {}


class Ladder(Codec):
    """A codec that gives each image the first of its rungs that fits into `allowed` bits, all overheads included."""

    def __init__(self, rungs: Sequence[Rung], allowed: int) -> None:
        super().__init__()
        self._rungs = nn.ModuleList(rungs)
        self.allowed = allowed

    @property
    def rungs(self) -> list[Rung]:
        """Settings, the planned one first."""
        return [cast(Rung, rung) for rung in self._rungs]

    @property
    def rung_bits(self) -> int:
        """Bits that say which rung an image took."""
        return _rung_bits(len(self.rungs))

    @property
    def stream_bits(self) -> int:
        """The most bits that a stream may have: the allowance less the rung and the stream's length."""
        return stream_allowance(self.allowed, len(self.rungs))

    @override
    def encode(self, x: Tensor) -> Payload:
        remaining = torch.arange(len(x), device=x.device)
        streams, order, chosen = [], [], torch.zeros_like(remaining)
        for number, rung in enumerate(self.rungs):
            stream = rung.encode(x[remaining])
            fits = stream.lengths <= self.stream_bits
            streams.append(stream.select(fits.nonzero()[:, 0]))
            order.append(remaining[fits])
            chosen[remaining[fits]] = number
            remaining = remaining[~fits]
            if not len(remaining):
                break
        if len(remaining):
            raise InvalidCodec("the last rung of a ladder does not fit into its allowance")
        joined = concatenate(streams).select(torch.cat(order).argsort())
        return Payload(
            rung=unsigned(chosen[:, None], self.rung_bits, side=True),
            stream=unsigned(joined.bits, 1, lengths=joined.lengths),
        )

    @override
    def decode(self, payload: Payload) -> Tensor:
        chosen = payload["rung"][:, 0]
        stream = Stream(payload["stream"], payload.lengths("stream"))
        images = [(chosen == number).nonzero()[:, 0] for number in range(len(self.rungs))]
        decoded = [
            rung.decode(stream.select(indices))
            for rung, indices in zip(self.rungs, images, strict=True)
            if len(indices) or not len(chosen)
        ]
        return torch.cat(decoded)[torch.cat(images).argsort()]

    @override
    def fallbacks(self, payload: Payload) -> Tensor:
        return payload["rung"][:, 0] > 0

    @override
    def describe(self) -> dict[str, OptionValue]:
        return self.rungs[0].describe() | {"rungs": len(self.rungs)}


def stream_allowance(allowed: int, rungs: int) -> int:
    """Computes the bits that are left for the stream of an image when the rung and the stream's length are paid for."""
    return allowed - _rung_bits(rungs) - LENGTH_BITS


def _rung_bits(rungs: int) -> int:
    return max(1, (rungs - 1).bit_length())
