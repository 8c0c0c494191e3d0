"""The WCC codec in rows: a selection that runs along as rows come in, and stripes of what is kept of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from actbench.codec import Field, Payload, floating, unsigned
from actbench.codec.quantizers import at_least_fp32
from actbench_plugins.wcc import haar
from actbench_plugins.wcc.codec import WaveletCodec
from actbench_plugins.wcc.positions import energies, index_bits, largest, uses_bitmap


class StripedWaveletCodec(WaveletCodec):
    """The joint selection of a transform that takes a few rows at a time.

    A stripe is what is kept of its rows: `where`, a bit for each of its positions or a list of the kept ones, whichever
    the whole map's payload has, `kept`, channel by channel, and `form`, which is empty: its shape (batch, rows, 0) and
    its type are those of the rows, known before any image is seen, and take no bits.
    """

    @property
    def rows(self) -> int:
        """2^levels: rows that share coefficients."""
        return 1 << self.transform.levels

    def collector(self, batch: int) -> RunningSelection:
        """Begins to write a map of `batch` images."""
        return RunningSelection(self, batch)

    def encode_rows(self, x: Tensor, head: Payload) -> Payload:
        """Encodes all rows of a map, as one stripe: what is kept of fewer depends on the others (`collector`)."""
        collector = self.collector(len(x))
        collector.add(x)
        return collector.finish()[0]

    def decode_rows(self, stripe: Payload, head: Payload) -> Tensor:
        """Decodes a stripe to (batch, C, rows, W)."""
        form, planes = stripe["form"], self._planes(stripe)
        return self.transform.inverse(planes)[:, :, : form.shape[1], : self.size[1]].to(form.dtype)

    def _planes(self, stripe: Payload) -> Tensor:
        """The coefficients (batch, C, positions) of a stripe."""
        form = stripe["form"]
        planes = at_least_fp32(form).new_zeros(len(form), self.channels, self.positions_of(form.shape[1]))
        for plane, kept, index in zip(planes, self._kept_of_each(stripe), self._index_of_each(stripe), strict=True):
            plane.scatter_(1, index.expand(self.channels, -1), kept)
        return planes

    def positions_of(self, height: int) -> int:
        """The number of positions of so many rows."""
        return math.prod(haar.padded_size(height, self.size[1], self.transform.levels))

    def _kept_of_each(self, stripe: Payload) -> list[Tensor]:
        """Each image's kept coefficients (C, count), in fp32 or fp64."""
        exact = stripe["kept"].to(at_least_fp32(stripe["form"]).dtype)
        kept = [part.view(1, self.channels, -1) for part in exact.split(stripe.lengths("kept").tolist())]
        return [(each if self.quantizer is None else self.quantizer.decode(each))[0] for each in kept]

    def _index_of_each(self, stripe: Payload) -> list[Tensor]:
        """Each image's positions (count,) in the stripe."""
        if uses_bitmap(self.count, self.transform.positions):
            return [bits.nonzero()[:, 0] for bits in stripe["where"]]
        return list(stripe["where"].long().split(stripe.lengths("where").tolist()))


@dataclass
class _Part:
    """What is still kept of one image's stripe: the positions (n,), their energies, and their coefficients (n, C), as
    they are stored. A position is a row here: to give up one is to copy the other rows."""

    index: Tensor
    energy: Tensor
    kept: Tensor

    def only(self, marked: Tensor) -> _Part:
        """What remains when only the marked (n,) are kept."""
        rows = marked.nonzero()[:, 0]
        return _Part(*(each.index_select(0, rows) for each in (self.index, self.energy, self.kept)))


class RunningSelection:
    """A collector that holds, of the rows that have come in, what can still be among the k positions of most energy."""

    def __init__(self, codec: StripedWaveletCodec, batch: int) -> None:
        self._codec = codec
        self._images: list[list[_Part]] = [[] for _ in range(batch)]
        self._forms: list[Tensor] = []

    @torch.no_grad()
    def add(self, x: Tensor) -> None:
        """Takes in the next rows (batch, C, rows, W)."""
        transform = self._codec.transform
        self._forms.append(x.new_empty(x.shape[0], x.shape[2], 0))
        images = list(transform(haar.pad(at_least_fp32(x), transform.levels)))
        for parts in self._images:
            self._merge(parts, images.pop(0), x.dtype)  # popped: what is not kept is freed

    def _merge(self, parts: list[_Part], coefficients: Tensor, dtype: torch.dtype) -> None:
        """Chooses again, among what was kept of one image and its next coefficients (C, positions)."""
        energy = energies(coefficients[None])[0, 0]
        marked = self._marked([*(part.energy for part in parts), energy])
        parts[:] = [part if mark.all() else part.only(mark) for part, mark in zip(parts, marked[:-1], strict=True)]
        index = marked[-1].nonzero()[:, 0]
        coefficients = coefficients.index_select(1, index)
        kept = self._stored(coefficients, dtype).T.contiguous()
        parts.append(_Part(index.int(), energy.index_select(0, index), kept))

    def _marked(self, energies: list[Tensor]) -> list[Tensor]:
        """Marks the k largest of all, of equal ones those that came first."""
        every = torch.cat(energies)
        return list(largest(every, self._codec.count).split([len(each) for each in energies]))

    def _stored(self, kept: Tensor, dtype: torch.dtype) -> Tensor:
        """Coefficients in the fewest bytes that hold what a payload holds of them."""
        quantizer = self._codec.quantizer
        if quantizer is None:
            return kept.to(dtype)
        return quantizer.encode(kept[None])[0].to(torch.uint8 if quantizer.width <= 8 else torch.int32)

    def finish(self) -> list[Payload]:
        """Gives the stripes, as high as the rows that came in."""
        return [self._stripe(form, [parts.pop(0) for parts in self._images]) for form in self._forms]

    def _stripe(self, form: Tensor, parts: list[_Part]) -> Payload:
        kept = torch.cat([part.kept.T.flatten() for part in parts])
        lengths = torch.tensor([part.kept.numel() for part in parts])
        quantizer = self._codec.quantizer
        return Payload(
            form=unsigned(form, 1),
            where=self._where(form, [part.index for part in parts]),
            kept=unsigned(kept, quantizer.width, lengths=lengths) if quantizer else floating(kept, lengths=lengths),
        )

    def _where(self, form: Tensor, index: list[Tensor]) -> Field:
        positions = self._codec.transform.positions
        if not uses_bitmap(self._codec.count, positions):
            lengths = torch.tensor([len(each) for each in index])
            return unsigned(torch.cat(index), index_bits(positions), lengths=lengths, side=True)
        bitmap = index[0].new_zeros(len(index), self._codec.positions_of(form.shape[1]), dtype=torch.uint8)
        for bits, each in zip(bitmap, index, strict=True):
            bits[each.long()] = 1
        return unsigned(bitmap, 1, side=True)
