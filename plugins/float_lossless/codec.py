"""Two settings for floating-point words: heads entropy coded, and all bits raw."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from typing_extensions import override

from actbench.codec import FeatureMap
from actbench.codec.bit_strings import Stream, from_bits, to_bits
from actbench.codec.entropy_coder import (
    PRECISION,
    START_BITS,
    Categorical,
    Coder,
    coders_of,
    frequencies_of,
    model_of,
    pop,
    pop_integers,
    push,
    push_integers,
    strings_of,
)
from actbench.codec.rate_control import Rung
from actbench.info import OptionValue
from actbench_plugins.float_lossless.words import HEADS, Words, has_mantissa


class CodedHeads(Rung):
    """Heads by the entropy coder, in one table a map, and of each mantissa the first `kept` bits raw: with all of them
    nothing is lost. A zero is a head alone."""

    frequency: Tensor
    form: Tensor

    def __init__(self, fmap: FeatureMap, words: Words, kept: int, frequency: Tensor) -> None:
        """`frequency` (512,): of each head, adding up to 2^14."""
        super().__init__()
        self.channels, self.columns = fmap.channels, fmap.width
        self.words = words
        self.kept = kept
        self.register_buffer("frequency", frequency.to(torch.int16))
        self.register_buffer("form", torch.zeros(0), persistent=False)

    def costs(self, x: Tensor) -> Tensor:
        """The bits (batch,) that the frequencies promise, with mantissas and the coder's start."""
        heads, _ = self.words.split(x.flatten(1))
        table = PRECISION - self.frequency.double().log2() + self.kept * has_mantissa(torch.arange(HEADS))
        return table[heads].sum(1) + START_BITS

    @override
    def encode(self, x: Tensor) -> Stream:
        heads, mantissas = self.words.split(x.detach().flatten(2))
        coders = [Coder() for _ in heads]
        coded = has_mantissa(heads)
        if self.kept:
            first = mantissas[coded] >> (self.words.mantissa_bits - self.kept)
            push_integers(coders, first, coded.sum((1, 2)), self.kept)
        push(coders, heads, self._models())
        strings = strings_of(coders)
        return Stream(strings.bits.to(x.device), strings.lengths.to(x.device))

    @override
    def decode(self, stream: Stream, height: int) -> Tensor:
        coders = coders_of(stream)
        heads = pop(coders, self._models(), height * self.columns)
        mantissas = torch.zeros_like(heads)
        if self.kept:
            coded = has_mantissa(heads)
            first = pop_integers(coders, coded.sum((1, 2)), self.kept)
            mantissas[coded] = first & ((1 << self.kept) - 1)
        values = self.words.join(heads, mantissas, self.kept).to(stream.bits.device)
        rows: Tensor = values.unflatten(2, (height, self.columns))
        return rows.to(self.form.dtype)

    @override
    def straight_through(self, x: Tensor) -> Tensor:
        return self.words.shortened(x, self.kept).to(self.form.dtype)

    @override
    def most_bits(self, x: Tensor) -> Tensor:
        return self.costs(x).ceil().long()

    @override
    def describe(self) -> dict[str, OptionValue]:
        return {"mantissa": self.kept}

    def _models(self) -> list[tuple[Categorical, int]]:
        return [(model_of(self.frequency), self.channels)]


class RawWords(Rung):
    """The first `kept` bits of each word, 9 or more: they always fit where they fit once."""

    form: Tensor

    def __init__(self, fmap: FeatureMap, words: Words, kept: int) -> None:
        super().__init__()
        self.shape = (fmap.channels, fmap.width)
        self.words = words
        self.kept = kept
        self.register_buffer("form", torch.zeros(0), persistent=False)

    @override
    def encode(self, x: Tensor) -> Stream:
        heads, mantissas = self.words.split(x.detach().flatten(1))
        words = (heads.long() << self.words.mantissa_bits) | mantissas
        bits = to_bits(words >> (self.words.bits - self.kept), self.kept).flatten(1)
        return Stream(bits.flatten(), torch.full((len(x),), bits.shape[1], device=x.device))

    @override
    def decode(self, stream: Stream, height: int) -> Tensor:
        channels, columns = self.shape
        count = channels * height * columns
        read = from_bits(stream.bits.reshape(len(stream.lengths), count, self.kept), self.kept).long()
        mantissa = self.kept - 9
        values = self.words.join((read >> mantissa).int(), (read & ((1 << mantissa) - 1)).int(), mantissa)
        rows: Tensor = values.unflatten(1, (channels, height, columns))
        return rows.to(self.form.dtype)

    @override
    def straight_through(self, x: Tensor) -> Tensor:
        return self.words.shortened(x, self.kept - 9).to(self.form.dtype)

    @override
    def most_bits(self, x: Tensor) -> Tensor:
        return torch.full((x.shape[0],), self.kept * x[0].numel(), device=x.device)


def counted(words: Words, sample: Tensor) -> Tensor:
    """The frequencies of heads (512,) on a sample."""
    heads, _ = words.split(sample.flatten())
    return frequencies_of(torch.bincount(heads, minlength=HEADS))


def raw_bits(fmap: FeatureMap, words: Words, bits: int) -> int:
    """How many bits of each word fit."""
    return min(words.bits, math.floor(bits / fmap.elements))
