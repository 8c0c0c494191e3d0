"""A ladder of settings, of which each image takes the first whose strings fit into the map's allowance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from typing_extensions import override

from actbench.codec.codec import Codec
from actbench.codec.payload import LENGTH_BITS, Payload, floating, unsigned
from actbench.codec.rate_control.granules import (
    GRANULE,
    Granules,
    concatenate_granules,
    decode_granules,
    encode_granules,
    granule_count,
    straight_through_granules,
    sum_over_granules,
)
from actbench.codec.rate_control.rung import Rung
from actbench.errors import InvalidCodec
from actbench.info import OptionValue

_NO_RUNG_FITS = "the last rung of a ladder does not fit into its allowance"


class Ladder(Codec):
    """A codec that gives each image the first of its rungs that fits into `allowed` bits, all overheads included.

    Maps have `height` rows. Each granule of them is a string of its own; where there are several, the lengths of full
    ones (field `granules`) and of a shorter one at the end (`last`) are side information, so that the codec works in
    rows. While gradients of a map are wanted, the payload has in place of strings the values that they stand for (field
    `values`): each image takes the same rung, and its gradient passes straight through that.
    """

    def __init__(self, rungs: Sequence[Rung], allowed: int, height: int) -> None:
        super().__init__()
        self._rungs = nn.ModuleList(rungs)
        self.allowed = allowed
        self.height = height

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
        """The most bits that an image's strings may have: the allowance less the rung and the strings' lengths."""
        return stream_allowance(self.allowed, len(self.rungs), self.height)

    @property
    def rows(self) -> int:
        """The rows of a granule."""
        return GRANULE

    @override
    def encode(self, x: Tensor) -> Payload:
        if torch.is_grad_enabled() and x.requires_grad:
            return self._straight_through(x)
        chosen = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        granules = encode_granules(self.rungs[0], x)
        while (over := granules.lengths.sum(1) > self.stream_bits).any():
            chosen, images = self._lowered(chosen, over), over.nonzero()[:, 0]
            granules = granules.replace(images, self._encoded(x[images], chosen[images]))
        return Payload(**self._head(chosen).fields, **self._stripe(granules, x.shape[2]).fields)

    def encode_values(self, x: Tensor) -> Payload:
        """Stores the values that strings stand for: every rung is computed, and each image takes the first that fits by
        `most_bits`."""
        chosen = torch.full((x.shape[0],), len(self.rungs) - 1, device=x.device)
        values = straight_through_granules(self.rungs[-1], x)
        for number in reversed(range(len(self.rungs) - 1)):
            rung = self.rungs[number]
            fits = sum_over_granules(rung.most_bits, x) <= self.stream_bits
            values = torch.where(fits[:, None, None, None], straight_through_granules(rung, x), values)
            chosen = torch.where(fits, number, chosen)
        return Payload(**self._head(chosen).fields, values=floating(values))

    @override
    def decode(self, payload: Payload) -> Tensor:
        return self.decode_rows(payload, payload)

    def first_head(self, batch: int) -> Payload:
        """Makes the head with which every image takes the planned rung."""
        return self._head(torch.zeros(batch, dtype=torch.int64))

    def next_head(self, head: Payload, bits: Tensor) -> Payload | None:
        """Makes the head with which images whose strings and their lengths are over the allowance take the next rung;
        None where none is."""
        chosen = head["rung"][:, 0]
        over = bits.to(chosen.device) > self.allowed - self.rung_bits - LENGTH_BITS
        return self._head(self._lowered(chosen, over)) if over.any() else None

    def encode_rows(self, x: Tensor, head: Payload) -> Payload:
        """Encodes some rows, each image's by its rung."""
        return self._stripe(self._encoded(x, head["rung"][:, 0].to(x.device)), x.shape[2])

    def decode_rows(self, stripe: Payload, head: Payload) -> Tensor:
        """Decodes some rows, each image's by its rung."""
        if "values" in stripe:
            return stripe["values"]
        granules, rows = self._granules(stripe)
        images = self._images_by_rung(head["rung"][:, 0].to(granules.bits.device))
        if len(images) == 1:
            return decode_granules(images[0][0], granules, rows)
        decoded = [decode_granules(rung, granules.select(indices), rows) for rung, indices in images]
        return torch.cat(decoded)[torch.cat([indices for _, indices in images]).argsort()]

    @override
    def fallbacks(self, payload: Payload) -> Tensor:
        return payload["rung"][:, 0] > 0

    @override
    def describe(self) -> dict[str, OptionValue]:
        return self.rungs[0].describe() | {"rungs": len(self.rungs)}

    def _head(self, chosen: Tensor) -> Payload:
        return Payload(rung=unsigned(chosen[:, None], self.rung_bits, side=True))

    def _straight_through(self, x: Tensor) -> Payload:
        chosen = self._fitting(x.detach())
        images = self._images_by_rung(chosen)
        values = torch.cat([straight_through_granules(rung, x[indices]) for rung, indices in images])
        values = values[torch.cat([indices for _, indices in images]).argsort()]
        return Payload(**self._head(chosen).fields, values=floating(values))

    @torch.no_grad()
    def _fitting(self, x: Tensor) -> Tensor:
        """Finds for each image (batch,) the rung that it takes, without writing strings."""
        chosen = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        left = torch.arange(len(x), device=x.device)
        for rung in self.rungs:
            left = left[sum_over_granules(rung.lengths, x[left]) > self.stream_bits]
            if not len(left):
                return chosen
            chosen[left] += 1
        raise InvalidCodec(_NO_RUNG_FITS)

    def _lowered(self, chosen: Tensor, over: Tensor) -> Tensor:
        """Gives images that are `over` (batch,) the rung below the `chosen` one."""
        lowered = chosen + over
        if (lowered >= len(self.rungs)).any():
            raise InvalidCodec(_NO_RUNG_FITS)
        return lowered

    def _images_by_rung(self, chosen: Tensor) -> list[tuple[Rung, Tensor]]:
        """Lists the rungs that images took, each with their indices; the first rung where there are no images."""
        numbers = chosen.unique().tolist() or [0]
        return [(self.rungs[number], (chosen == number).nonzero()[:, 0]) for number in numbers]

    def _encoded(self, x: Tensor, chosen: Tensor) -> Granules:
        images = self._images_by_rung(chosen)
        if len(images) == 1:
            return encode_granules(images[0][0], x)
        coded = concatenate_granules([encode_granules(rung, x[indices]) for rung, indices in images])
        return coded.select(torch.cat([indices for _, indices in images]).argsort())

    def _stripe(self, granules: Granules, rows: int) -> Payload:
        """Stores granules of so many rows together."""
        stream = granules.images
        fields = {"stream": unsigned(stream.bits, 1, lengths=stream.lengths)}
        if granule_count(self.height) > 1:
            width, full = _length_bits(self.allowed), rows // GRANULE
            # A longer string is over the allowance, and its image is written again.
            lengths = granules.lengths.clamp(max=(1 << width) - 1)
            tables = {"granules": lengths[:, :full], "last": lengths[:, full:]}
            fields |= {name: unsigned(table, width, side=True) for name, table in tables.items() if table.shape[1]}
        return Payload(**fields)

    def _granules(self, stripe: Payload) -> tuple[Granules, int]:
        """Reads the granules of a stripe, and how many rows they have together."""
        if granule_count(self.height) == 1:
            return Granules(stripe["stream"], stripe.lengths("stream")[:, None]), self.height
        lengths = torch.cat([stripe[name] for name in ("granules", "last") if name in stripe], 1)
        full = stripe["granules"].shape[1] if "granules" in stripe else 0
        last = self.height % GRANULE if "last" in stripe else 0
        return Granules(stripe["stream"], lengths), full * GRANULE + last


def stream_allowance(allowed: int, rungs: int, height: int) -> int:
    """Computes the bits that are left for the strings of an image of `height` rows when the rung and the strings'
    lengths are paid for."""
    count = granule_count(height)
    lengths = count * _length_bits(allowed) if count > 1 else 0
    return allowed - _rung_bits(rungs) - LENGTH_BITS - lengths


def _rung_bits(rungs: int) -> int:
    return max(1, (rungs - 1).bit_length())


def _length_bits(allowed: int) -> int:
    """Counts the bits that hold the length of any string that fits."""
    return max(1, allowed.bit_length())
