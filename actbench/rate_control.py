"""Rate control for codecs whose bits depend on the image: a ladder of settings, the planned one first.

Each image takes the first rung whose stream fits into the map's allowance. The last rung has to fit always, so that no
image ever goes over the ceiling. The rung is stored as side information; how often a lower one was needed is recorded.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from typing_extensions import override

from actbench.errors import InvalidCodec
from actbench.info import OptionValue
from actbench.method import Codec
from actbench.payload import LENGTH_BITS, Payload, unsigned


@dataclass(frozen=True)
class Stream:
    """Strings of bits for a batch, one after the other: `bits` (total,) uint8 of zeros and ones, `lengths` (batch,)
    int64."""

    bits: Tensor
    lengths: Tensor

    def select(self, images: Tensor) -> Stream:
        """The strings of some images, by their indices, in that order."""
        starts = self.lengths.cumsum(0) - self.lengths
        parts = [self.bits[starts[i] : starts[i] + self.lengths[i]] for i in images.tolist()]
        return concatenate([Stream(torch.cat(parts) if parts else self.bits[:0], self.lengths[images])])


def concatenate(streams: Sequence[Stream]) -> Stream:
    """The strings of all streams, in their order."""
    return Stream(torch.cat([s.bits for s in streams]), torch.cat([s.lengths for s in streams]))


class Rung(nn.Module, ABC):
    """One setting of a coder: a map to a string of bits, and back."""

    @abstractmethod
    def encode(self, x: Tensor) -> Stream:
        """(batch, C, H, W) → one string of bits an image."""

    @abstractmethod
    def decode(self, stream: Stream) -> Tensor:
        """One string of bits an image → (batch, C, H, W)."""

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
        return max(1, (len(self.rungs) - 1).bit_length())

    @property
    def stream_bits(self) -> int:
        """The most bits that a stream may have: the allowance less the rung and the stream's length."""
        return stream_allowance(self.allowed, len(self.rungs))

    @override
    def encode(self, x: Tensor) -> Payload:
        taken = torch.full((len(x),), -1, dtype=torch.int64, device=x.device)
        streams: list[Stream] = []
        order: list[Tensor] = []
        for number, rung in enumerate(self.rungs):
            left = (taken < 0).nonzero()[:, 0]
            if not len(left):
                break
            stream = rung.encode(x[left])
            fits = (stream.lengths.to(x.device) <= self.stream_bits).nonzero()[:, 0]
            streams.append(stream.select(fits))
            order.append(left[fits])
            taken[left[fits]] = number
        if bool((taken < 0).any()):
            raise InvalidCodec("the last rung of a ladder does not fit into its allowance")
        joined = concatenate(streams).select(torch.cat(order).argsort()) if streams else Stream(x.new_empty(0), taken)
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
            rung.decode(stream.select(chosen)) for rung, chosen in zip(self.rungs, images, strict=True) if len(chosen)
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
    return allowed - max(1, (rungs - 1).bit_length()) - LENGTH_BITS
