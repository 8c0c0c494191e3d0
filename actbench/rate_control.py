"""Rate control for codecs whose bits depend on the image: a ladder of settings, the planned one first.

Each image takes the first rung whose stream fits into the map's allowance. The last rung has to fit always, so that no
image ever goes over the ceiling. The rung is stored as side information; how often a lower one was needed is recorded.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from actbench.bit_strings import (
    Stream,
    code_type,
    concatenate,
    from_bits,
    join,
    segment_sums,
    symbols,
    to_bits,
    true_positions,
    zero_value_decode,
    zero_value_encode,
    zero_value_lengths,
)
from actbench.budget import Allowance
from actbench.errors import InvalidCodec, Unsupported
from actbench.feature_map import FLOAT_BITS, FeatureMap
from actbench.info import OptionValue
from actbench.method import Codec, Method, PlainCodec
from actbench.payload import LENGTH_BITS, Payload, unsigned
from actbench.quantizers import UniformQuantizer
from actbench.statistics import MapStatistics

__all__ = [
    "MARGIN",
    "QUANTILE",
    "Ladder",
    "LadderMethod",
    "Pooled",
    "Rung",
    "Stream",
    "code_type",
    "concatenate",
    "from_bits",
    "join",
    "segment_sums",
    "stream_allowance",
    "symbols",
    "to_bits",
    "true_positions",
    "zero_value_decode",
    "zero_value_encode",
    "zero_value_lengths",
]

QUANTILE, MARGIN = 0.999, 1.02
"""A setting is planned where this quantile of the calibration images' lengths, times the margin, fits."""

MOST_RUNGS = 32
"""A ladder's rungs are planned with the bits that a number of this size needs."""

_IMAGES_FOR_LENGTHS, _IMAGES_FOR_ERRORS, _PROBED = 256, 32, 16
_VALUES_AT_ONCE = 1 << 22


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


class Pooled(Rung):
    """The map averaged over squares of `side`×`side` positions, each value in a code of fixed length: it always fits.

    `C·⌈H/side⌉·⌈W/side⌉·width` bits; side 1 is the map itself.
    """

    def __init__(self, fmap: FeatureMap, side: int, quantizer: UniformQuantizer) -> None:
        super().__init__()
        self.shape = (fmap.channels, *_pooled_size(fmap, side))
        self.full = (fmap.height, fmap.width)
        self.side = side
        self.quantizer = quantizer

    @classmethod
    def fitting(cls, fmap: FeatureMap, sample: Tensor, allowance: Allowance) -> Pooled:
        """With the smallest squares for which the narrowest width fits, and the widest width that fits with them."""
        for side in range(1, max(fmap.height, fmap.width) + 1):
            height, width = _pooled_size(fmap, side)
            fitting = [w for w in allowance.widths if fmap.channels * height * width * w <= allowance.bits]
            if fitting:
                pooled = functional.adaptive_avg_pool2d(sample, (height, width))
                return cls(fmap, side, UniformQuantizer.calibrated(fitting[0], pooled, nonnegative=fmap.nonnegative))
        needed = fmap.channels * allowance.widths[-1]
        raise Unsupported(f"{fmap.name}: one value a channel needs {needed} bits; {allowance.bits} are left for values")

    @override
    def encode(self, x: Tensor) -> Stream:
        averaged = functional.adaptive_avg_pool2d(x.float(), self.shape[1:])
        width = self.quantizer.width
        bits = to_bits(self.quantizer.encode(averaged).flatten(1).to(code_type(width)), width).flatten(1)
        return Stream(bits.flatten(), torch.full((len(x),), bits.shape[1], device=x.device))

    @override
    def decode(self, stream: Stream) -> Tensor:
        count = self.shape[0] * self.shape[1] * self.shape[2]
        codes = from_bits(stream.bits.reshape(len(stream.lengths), count, self.quantizer.width), self.quantizer.width)
        values = self.quantizer.decode(codes.float()).to(self.quantizer.high.dtype)
        whole = functional.interpolate(values.unflatten(1, self.shape), scale_factor=self.side, mode="nearest")
        return whole[:, :, : self.full[0], : self.full[1]]


class LadderMethod(Method):
    """A method that names families of settings, each from the finest to the coarsest; of each family the finest
    setting that fits on the calibration images is planned, and of these the one with the least squared error there.
    The coarser settings of its family follow on the ladder, and `Pooled` ends it."""

    def families(self, fmap: FeatureMap, stats: MapStatistics, allowance: Allowance) -> Sequence[Sequence[Rung]]:
        """Families of settings; `allowance.bits` is what a stream may have, overheads paid."""
        raise NotImplementedError

    @override
    def codec(self, fmap: FeatureMap, stats: MapStatistics, allowance: Allowance) -> Codec:
        if allowance.widths[0] == FLOAT_BITS:
            raise Unsupported(f"{fmap.name}: this code is for integers of at most 16 bits")
        sample, plain = stats.after.sample, allowance.plain_width(fmap)
        streams = replace(allowance, bits=stream_allowance(allowance.bits, MOST_RUNGS))
        families = self.families(fmap, stats, streams)
        planned = [rungs for rungs in (_from_first_fitting(f, sample, streams.bits) for f in families) if rungs]
        quantised = PlainCodec.calibrated(fmap, stats, plain) if plain else None
        if not planned and quantised:
            return quantised
        planned = planned or [[_coarsest(fmap, families, sample, streams.bits)]]
        best = min(planned, key=lambda rungs: _error(rungs[0], sample))
        if quantised and _squared_error(quantised(sample[:_IMAGES_FOR_ERRORS]), sample) <= _error(best[0], sample):
            return quantised
        return Ladder([*best, Pooled.fitting(fmap, sample, streams)], allowance.bits)


def stream_allowance(allowed: int, rungs: int) -> int:
    """Bits that are left for the stream of an image when the rung and the stream's length are paid for."""
    return allowed - _rung_bits(rungs) - LENGTH_BITS


def _rung_bits(rungs: int) -> int:
    return max(1, (rungs - 1).bit_length())


def _pooled_size(fmap: FeatureMap, side: int) -> tuple[int, int]:
    return -(-fmap.height // side), -(-fmap.width // side)


@torch.no_grad()
def _lengths(rung: Rung, sample: Tensor) -> Tensor:
    images = sample[:_IMAGES_FOR_LENGTHS]
    at_once = max(1, _VALUES_AT_ONCE // max(1, images[0].numel()))
    return torch.cat([rung.lengths(part) for part in images.split(at_once)])


def _from_first_fitting(rungs: Sequence[Rung], sample: Tensor, bits: int) -> Sequence[Rung]:
    """The rungs from the first on that fits with the margin; none where none does."""
    for number, rung in enumerate(rungs):
        # With two images over the limit the quantile is over it, whatever the others' lengths are.
        over = MARGIN * _lengths(rung, sample[:_PROBED]).double() > bits
        if over.count_nonzero() < 2 and MARGIN * float(_lengths(rung, sample).double().quantile(QUANTILE)) <= bits:
            return rungs[number:]
    return []


def _coarsest(fmap: FeatureMap, families: Sequence[Sequence[Rung]], sample: Tensor, bits: int) -> Rung:
    """The coarsest setting that fits for most images, where none fits for all."""
    shares = {rungs[-1]: float((_lengths(rungs[-1], sample) <= bits).double().mean()) for rungs in families if rungs}
    best = max(shares, key=shares.__getitem__, default=None)
    if best is None or shares[best] <= 0.5:
        share = 0.0 if best is None else shares[best]
        raise Unsupported(
            f"{fmap.name}: the coarsest code fits into {bits} bits for {share:.0%} of the calibration images"
        )
    return best


@torch.no_grad()
def _error(rung: Rung, sample: Tensor) -> float:
    return _squared_error(rung.decode(rung.encode(sample[:_IMAGES_FOR_ERRORS])), sample)


def _squared_error(decoded: Tensor, sample: Tensor) -> float:
    return float((decoded.detach() - sample[: len(decoded)]).double().square().sum())
