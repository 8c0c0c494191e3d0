"""Strings of an entropy coder, constriction's ANS (Bamler, arXiv 2201.01741; Duda, arXiv 1311.2540): a stack, of which
is popped first what was pushed last.

A coder's state is one large number, and a string is that number in binary, without leading zeros. A symbol of
probability p makes it log2(1 / p) bits longer, but for rounding; the first ones cost up to `START_BITS` more together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, TypeVar

import constriction
import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from actbench.codec.bit_strings import Stream

START_BITS = 24
"""The bits of the coder's probabilities, which are multiples of 2^−24."""

PRECISION = 14
"""Frequencies add up to 2^14."""

_WORD_BITS = 32

Coder: TypeAlias = constriction.stream.stack.AnsCoder
Categorical: TypeAlias = constriction.stream.model.Categorical
Uniform = constriction.stream.model.Uniform

Words = NDArray[numpy.uint32]
Integer = TypeVar("Integer", numpy.uint8, numpy.int32)


def frequencies_of(counts: Tensor) -> Tensor:
    """Counts (symbols,) → frequencies that add up to 2^14, each at least 1, by rounding the cumulative counts."""
    free = (1 << PRECISION) - len(counts)
    edges = (counts.double().cumsum(0) / counts.sum().clamp_min(1) * free).round()
    edges[-1] = free
    return 1 + edges.diff(prepend=edges.new_zeros(1)).long()


def model_of(frequencies: Tensor) -> Categorical:
    """Makes the model of symbols with these frequencies (symbols,)."""
    return Categorical(frequencies.double().cpu().numpy(), perfect=False)


def push(coders: Sequence[Coder], symbols: Tensor, models: Sequence[tuple[Categorical, int]]) -> None:
    """Pushes each image's symbols (images, C, positions), int32; `models`: what so many neighbouring channels have."""
    for coder, image in zip(coders, symbols.cpu().numpy(), strict=True):
        end = len(image)
        for model, channels in reversed(models):
            coder.encode_reverse(image[end - channels : end].reshape(-1), model)
            end -= channels


def pop(coders: Sequence[Coder], models: Sequence[tuple[Categorical, int]], positions: int) -> Tensor:
    """Pops each image's symbols (images, C, positions), int32."""
    channels = sum(count for _, count in models)
    parts = [coder.decode(model, count * positions) for coder in coders for model, count in models]
    return torch.from_numpy(_concatenated(parts, numpy.int32)).reshape(len(coders), channels, positions)


def push_integers(coders: Sequence[Coder], values: Tensor, counts: Tensor, width: int) -> None:
    """Pushes signed integers of `width` bits (n,), int32: so many of them, `counts` (images,), belong to each image."""
    model, unsigned = Uniform(1 << width), values.cpu() & ((1 << width) - 1)
    for coder, image in zip(coders, unsigned.split(counts.tolist()), strict=True):
        coder.encode_reverse(image.numpy(), model)


def pop_integers(coders: Sequence[Coder], counts: Tensor, width: int) -> Tensor:
    """Pops signed integers of `width` bits (n,), int32, `counts` (images,) of each image."""
    model = Uniform(1 << width)
    parts = [coder.decode(model, count) for coder, count in zip(coders, counts.tolist(), strict=True)]
    unsigned = torch.from_numpy(_concatenated(parts, numpy.int32))
    return unsigned - ((unsigned >> (width - 1)) << width)


def strings_of(coders: Sequence[Coder]) -> Stream:
    """Each image's string."""
    strings = [_binary(coder.get_compressed()) for coder in coders]
    lengths = torch.tensor([len(string) for string in strings], dtype=torch.int64)
    return Stream(torch.from_numpy(_concatenated(strings, numpy.uint8)), lengths)


def coders_of(stream: Stream) -> list[Coder]:
    """Each image's coder, as it was when its string was written."""
    return [Coder(_words(string)) for string in stream.strings()]


def _binary(words: Words) -> NDArray[numpy.uint8]:
    """A number in binary, from its words, the lowest first."""
    bits = numpy.unpackbits(words[::-1].astype(">u4").view(numpy.uint8))
    leading_zeros = _WORD_BITS - int(words[-1]).bit_length() if len(words) else 0
    return bits[leading_zeros:]


def _words(string: Tensor) -> Words:
    """A number's words, the lowest first, from the number in binary."""
    filled = numpy.pad(string.cpu().numpy(), (-len(string) % _WORD_BITS, 0))
    return numpy.packbits(filled).view(">u4")[::-1].astype(numpy.uint32)


def _concatenated(parts: Sequence[NDArray[Integer]], dtype: type[Integer]) -> NDArray[Integer]:
    return numpy.concatenate([numpy.zeros(0, dtype), *parts])
