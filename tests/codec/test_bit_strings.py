"""Strings of bits for a batch, and the zero-value code."""

import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from actbench.codec.bit_strings import (
    Stream,
    concatenate,
    from_bits,
    join,
    segment_sums,
    symbols,
    to_bits,
    zero_value_decode,
    zero_value_encode,
    zero_value_lengths,
)


def strings(stream: Stream) -> list[str]:
    return ["".join(map(str, string.tolist())) for string in stream.strings()]


def stream_of(*texts: str) -> Stream:
    bits = torch.tensor([int(bit) for text in texts for bit in text], dtype=torch.uint8)
    return Stream(bits, torch.tensor([len(text) for text in texts], dtype=torch.int64))


texts = st.lists(st.text("01", max_size=9), max_size=6)


@given(texts, st.data())
def test_streams_are_cut_and_put_together(parts: list[str], data: st.DataObject) -> None:
    stream = stream_of(*parts)
    assert strings(concatenate([stream, stream_of("1"), stream])) == [*parts, "1", *parts]
    assert strings(join(stream, stream)) == [part + part for part in parts]
    first = [data.draw(st.integers(0, len(part))) for part in parts]
    front, back = stream.divide(torch.tensor(first, dtype=torch.int64))
    assert strings(front) == [part[:cut] for part, cut in zip(parts, first, strict=True)]
    assert strings(join(front, back)) == parts
    pieces = stream.divide(torch.zeros_like(stream.lengths), torch.tensor(first, dtype=torch.int64))
    assert [strings(piece) for piece in pieces] == [[""] * len(parts), strings(front), strings(back)]
    assert strings(join(front, back, front)) == [a + b for a, b in zip(parts, strings(front), strict=True)]
    chosen = data.draw(st.permutations(range(len(parts))))[:3]
    assert strings(stream.select(torch.tensor(chosen, dtype=torch.int64))) == [parts[i] for i in chosen]


@pytest.mark.parametrize("width", [1, 3, 8, 9, 16, 20, 31])
def test_bits_and_back(width: int) -> None:
    values = torch.randint(0, 1 << width, (3, 5), generator=torch.Generator().manual_seed(width))
    bits = to_bits(values, width)
    assert bits[1, 2].tolist() == [int(bit) for bit in f"{int(values[1, 2]):0{width}b}"]
    assert torch.equal(from_bits(bits, width).long(), values)


def test_symbols_of_their_own_lengths() -> None:
    values, lengths = torch.tensor([5, 1, 9, 700, 0]), torch.tensor([3, 4, 0, 10, 1])
    assert strings(symbols(values, lengths, torch.tensor([2, 0, 3]))) == ["1010001", "", "10101111000"]
    empty = values[:0]
    assert strings(symbols(empty, empty, torch.tensor([0, 0]))) == ["", ""]


@given(st.lists(st.integers(0, 33), max_size=40), st.integers(0, 40), st.randoms(use_true_random=False))
def test_symbols_of_any_length(lengths: list[int], cut: int, random: random.Random) -> None:
    values = [random.getrandbits(40) for _ in lengths]
    cut = min(cut, len(lengths))
    stream = symbols(
        torch.tensor(values, dtype=torch.int64),
        torch.tensor(lengths, dtype=torch.uint8),
        torch.tensor([cut, len(lengths) - cut]),
    )
    written = [f"{v & ((1 << n) - 1):0{n}b}" if n else "" for v, n in zip(values, lengths, strict=True)]
    assert strings(stream) == ["".join(written[:cut]), "".join(written[cut:])]


def test_a_symbol_that_is_too_long() -> None:
    with pytest.raises(ValueError, match="34 bits: at most 33"):
        symbols(torch.tensor([1]), torch.tensor([34]), torch.tensor([1]))


def test_segment_sums() -> None:
    assert segment_sums(torch.tensor([1, 2, 3, 4]), torch.tensor([1, 0, 3])).tolist() == [1, 0, 9]


@given(st.integers(1, 8), st.lists(st.lists(st.integers(0, 255), min_size=5, max_size=5), max_size=4))
def test_zero_value_code(width: int, rows: list[list[int]]) -> None:
    codes = torch.tensor(rows, dtype=torch.uint8).reshape(len(rows), 5) & ((1 << width) - 1)
    stream = zero_value_encode(codes, width)
    assert torch.equal(stream.lengths, zero_value_lengths(codes, width))
    assert stream.lengths.tolist() == [5 + width * sum(v > 0 for v in row) for row in codes.tolist()]
    assert torch.equal(zero_value_decode(stream, 5, width), codes)
