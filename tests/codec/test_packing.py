"""Payloads survive the way to bytes and back, in exactly the bits that they claim."""

from collections.abc import Callable
from math import prod

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from actbench.codec import Field, Payload, floating, signed, unsigned
from actbench.codec.packing import layout, pack, unpack
from actbench.codec.payload import Kind
from actbench.errors import InvalidCodec

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


@given(payloads())
def test_payloads_survive_in_the_bits_that_they_claim(drawn: tuple[Payload, list[int]]) -> None:
    payload, by_hand = drawn
    assert payload.bits_per_image().tolist() == by_hand
    images = pack(payload)
    assert [len(image) for image in images] == [-(-bits // 8) for bits in by_hand]
    back = unpack(images, layout(payload))
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


def test_images_are_packed_front_to_back_without_gaps() -> None:
    payload = Payload(
        a=unsigned(torch.tensor([[5, 1], [0, 7]]), 3),
        b=signed(torch.tensor([[-1.0], [1.0]]), 2),
        c=unsigned(torch.tensor([9]), 4, lengths=torch.tensor([1, 0])),
    )
    first = f"{0b101_001_11:08b}" + f"{1:032b}" + "1001" + "0000"
    second = f"{0b000_111_01:08b}" + f"{0:032b}"
    assert [f"{int.from_bytes(image, 'big'):0{8 * len(image)}b}" for image in pack(payload)] == [first, second]


def test_what_is_stored_of_an_image_does_not_depend_on_its_batch() -> None:
    values, lengths = torch.arange(12), torch.tensor([2, 0, 3, 1])
    together = Payload(a=unsigned(values.reshape(4, 3), 5), b=unsigned(values[:6], 7, lengths=lengths))
    parts = values[:6].split(lengths.tolist())
    alone = [
        Payload(a=unsigned(row[None], 5), b=unsigned(part, 7, lengths=length[None]))
        for row, part, length in zip(values.reshape(4, 3), parts, lengths, strict=True)
    ]
    assert pack(together) == [image for payload in alone for image in pack(payload)]


def test_packing_takes_what_training_gives() -> None:
    codes = torch.arange(6.0, requires_grad=True).reshape(3, 2).T
    back = unpack(pack(Payload(codes=unsigned(codes, 3))), layout(Payload(codes=unsigned(codes, 3))))
    assert back["codes"].tolist() == [[0, 2, 4], [1, 3, 5]]


def test_unsigned_words_of_64_bits() -> None:
    payload = Payload(words=unsigned(torch.tensor([[(1 << 64) - 1, 1, 1 << 63]], dtype=torch.uint64), 64))
    back = unpack(pack(payload), layout(payload))["words"]
    assert back.dtype == torch.uint64
    assert back.tolist() == [[(1 << 64) - 1, 1, 1 << 63]]


UNFIT: dict[str, Callable[[], Field]] = {
    "above": lambda: unsigned(torch.tensor([[8]]), 3),
    "below-0": lambda: unsigned(torch.tensor([[-1]]), 3),
    "above-signed": lambda: signed(torch.tensor([[4]]), 3),
    "below-signed": lambda: signed(torch.tensor([[-5]]), 3),
    "above-in-63": lambda: signed(torch.tensor([[1 << 62]]), 63),
    "fraction": lambda: unsigned(torch.tensor([[0.5]]), 8),
    "nan": lambda: unsigned(torch.tensor([[float("nan")]]), 8),
    "infinity": lambda: signed(torch.tensor([[float("-inf")]]), 64),
    "too-large": lambda: signed(torch.tensor([[1e30]]), 64),
    "wrong-float": lambda: Field(torch.zeros(1, 1), 16, "float"),
    "no-float": lambda: floating(torch.zeros(1, 1, dtype=torch.int32)),
    "ragged": lambda: unsigned(torch.tensor([1, 9]), 3, lengths=torch.tensor([2])),
    "complex": lambda: unsigned(torch.tensor([[1 + 1j]]), 3),
}


@pytest.mark.parametrize("make", UNFIT.values(), ids=UNFIT.keys())
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_does_not_fit(make: Callable[[], Field]) -> None:
    with pytest.raises(InvalidCodec, match="codes"):
        pack(Payload(codes=make()))
