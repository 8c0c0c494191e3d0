"""Payloads of fields of every kind, drawn for property tests, and their bits by hand."""

from math import prod

import torch
from hypothesis import strategies as st
from torch import Tensor

from actbench.codec import Field, Payload
from actbench.codec.packing import layout
from actbench.codec.payload import LENGTH_BITS, Kind

FLOATS = {
    torch.float16: torch.int16,
    torch.bfloat16: torch.int16,
    torch.float32: torch.int32,
    torch.float64: torch.int64,
}
KINDS: tuple[Kind, ...] = ("unsigned", "signed", "float")


def in_type(integers: list[int], bits: int, dtype: torch.dtype) -> Tensor:
    """Floating-point values by their bit patterns: NaN, infinities and −0 included."""
    folded = [number - (1 << bits) if number >= 1 << (bits - 1) else number for number in integers]
    return torch.tensor(folded, dtype=FLOATS[dtype]).view(dtype)


def patterns(values: Tensor) -> Tensor:
    """The bits of values as integers: NaN has to come back as the same NaN."""
    return values.view(FLOATS[values.dtype]) if values.is_floating_point() else values


def integer_types(kind: str, bits: int) -> list[torch.dtype]:
    """Types that hold every integer of so many bits."""
    room = bits + (kind == "unsigned")  # with the sign
    limits = {
        torch.int16: 16,
        torch.int32: 32,
        torch.int64: 64,
        torch.float16: 12,
        torch.float32: 25,
        torch.float64: 54,
    }
    small = [torch.uint8] if kind == "unsigned" and bits <= 8 else []
    return small + [dtype for dtype, most in limits.items() if room <= most]


@st.composite
def fields(draw: st.DrawFn, batch: int) -> tuple[Field, list[int]]:
    """A field, and the bits of each image by hand."""
    kind: Kind = draw(st.sampled_from(KINDS))
    ragged, side = draw(st.booleans()), draw(st.booleans())
    shape: tuple[int, ...]
    lengths: Tensor | None = None
    if ragged:
        counts = draw(st.lists(st.integers(0, 5), min_size=batch, max_size=batch))
        shape, lengths = (sum(counts),), torch.tensor(counts, dtype=torch.int64)
    else:
        image = draw(st.lists(st.integers(0, 3), max_size=3))
        counts, shape = [prod(image)] * batch, (batch, *image)
    if kind == "float":
        dtype = draw(st.sampled_from(list(FLOATS)))
        bits = dtype.itemsize * 8
    else:
        bits = draw(st.sampled_from([1, 8, 63]) | st.integers(1, 63 if kind == "unsigned" else 64))
        dtype = draw(st.sampled_from(integer_types(kind, bits)))
    low = -(1 << (bits - 1)) if kind == "signed" else 0
    integers = st.integers(low, low + (1 << bits) - 1)
    drawn = draw(st.lists(integers, min_size=prod(shape), max_size=prod(shape)))
    values = in_type(drawn, bits, dtype) if kind == "float" else torch.tensor(drawn, dtype=dtype)
    field = Field(values.reshape(shape), bits, kind, lengths, side)
    return field, [count * bits + 32 * ragged for count in counts]


@st.composite
def payloads(draw: st.DrawFn) -> tuple[Payload, list[int]]:
    batch = draw(st.integers(0, 4))
    drawn = draw(st.lists(fields(batch), min_size=1, max_size=4))
    bits = [sum(counts[i] for _, counts in drawn) for i in range(batch)]
    return Payload(**{f"field{i}": field for i, (field, _) in enumerate(drawn)}), bits


def assert_same(back: Payload, payload: Payload) -> None:
    """Everything is there again, to the bit."""
    assert back.batch == payload.batch
    assert list(back) == list(payload)
    assert layout(back) == layout(payload)
    for name, field in payload.fields.items():
        unpacked = back.fields[name]
        assert unpacked.values.dtype == field.values.dtype
        assert unpacked.values.shape == field.values.shape
        assert torch.equal(patterns(unpacked.values), patterns(field.values))
        if field.lengths is not None:
            assert torch.equal(back.lengths(name), field.lengths)


def bits_of(field: Field) -> list[list[int]]:
    """The bits of each image, one after the other, by Python's integers."""
    values = patterns(field.values) if field.kind == "float" else field.values
    flat = [int(value) for value in values.flatten().tolist()]
    lengths = None if field.lengths is None else field.lengths.tolist()
    counts = [len(flat) // max(1, field.batch)] * field.batch if lengths is None else lengths
    images, start = [], 0
    for count in counts:
        length = digits(count, LENGTH_BITS) if lengths is not None else []
        images.append(length + [bit for value in flat[start : start + count] for bit in digits(value, field.bits)])
        start += count
    return images


def digits(value: int, bits: int) -> list[int]:
    """The lowest bits of an integer in two's complement, the most significant first."""
    return [(value >> place) & 1 for place in range(bits - 1, -1, -1)]
