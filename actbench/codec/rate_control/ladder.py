"""Each image takes the first of a ladder's settings whose stream fits into the map's allowance."""

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
        """(batch, C, H, W) → one string of bits an image."""

    @abstractmethod
    def decode(self, stream: Stream) -> Tensor:
        """One string of bits an image → (batch, C, H, W)."""

    def lengths(self, x: Tensor) -> Tensor:
        """(batch,) the lengths of the strings, for a coder that knows them without writing them."""
        return self.encode(x).lengths

    def describe(self) -> dict[str, OptionValue]:
        """The setting, for the record."""
        return {}


class Ladder(Codec):
    """A codec that gives each image the first of its rungs that fits into `allowed` bits, all overheads included."""

    def __init__(self, rungs: Sequence[Rung], allowed: int) -> None:
        super().__init__()
        self._rungs = nn.ModuleList(rungs)
        self.allowed = allowed

    @property
    def rungs(self) -> list[Rung]:
        """The settings, the planned one first."""
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
        left = torch.arange(len(x), device=x.device)
        streams, order, taken = [], [], torch.zeros_like(left)
        for number, rung in enumerate(self.rungs):
            stream = rung.encode(x[left])
            fits = stream.lengths <= self.stream_bits
            streams.append(stream.select(fits.nonzero()[:, 0]))
            order.append(left[fits])
            taken[left[fits]] = number
            left = left[~fits]
            if not len(left):
                break
        if len(left):
            raise InvalidCodec("the last rung of a ladder does not fit into its allowance")
        joined = concatenate(streams).select(torch.cat(order).argsort())
        return Payload(
            rung=unsigned(taken[:, None], self.rung_bits, side=True),
            stream=unsigned(joined.bits, 1, lengths=joined.lengths),
        )

    @override
    def decode(self, payload: Payload) -> Tensor:
        taken = payload["rung"][:, 0]
        stream = Stream(payload["stream"], payload.lengths("stream"))
        images = [(taken == number).nonzero()[:, 0] for number in range(len(self.rungs))]
        decoded = [
            rung.decode(stream.select(chosen))
            for rung, chosen in zip(self.rungs, images, strict=True)
            if len(chosen) or not len(taken)
        ]
        return torch.cat(decoded)[torch.cat(images).argsort()]

    @override
    def fallbacks(self, payload: Payload) -> Tensor:
        return payload["rung"][:, 0] > 0

    @override
    def describe(self) -> dict[str, OptionValue]:
        return self.rungs[0].describe() | {"rungs": len(self.rungs)}


def stream_allowance(allowed: int, rungs: int) -> int:
    """Bits that are left for the stream of an image when the rung and the stream's length are paid for."""
    return allowed - _rung_bits(rungs) - LENGTH_BITS


def _rung_bits(rungs: int) -> int:
    return max(1, (rungs - 1).bit_length())
