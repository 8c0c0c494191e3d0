"""Payloads survive the way to bytes and back, in exactly the bits that they claim."""

from collections.abc import Callable

import numpy
import pytest
import torch
from hypothesis import given

from actbench.codec import Field, Payload, floating, signed, unsigned
from actbench.codec.packing import layout, pack, unpack
from actbench.errors import InvalidCodec
from tests.codec.drawn_payloads import assert_same, bits_of, payloads


@given(payloads())
def test_payloads_survive_in_the_bits_that_they_claim(drawn: tuple[Payload, list[int]]) -> None:
    payload, by_hand = drawn
    assert payload.bits_per_image().tolist() == by_hand
    images = pack(payload)
    assert [len(image) for image in images] == [-(-bits // 8) for bits in by_hand]
    assert_same(unpack(images, layout(payload)), payload)


@given(payloads())
def test_images_are_what_numpy_packs(drawn: tuple[Payload, list[int]]) -> None:
    payload, _ = drawn
    by_hand: list[list[int]] = [[] for _ in range(payload.batch)]
    for field in payload.fields.values():
        for bits, own in zip(by_hand, bits_of(field), strict=True):
            bits += own
    assert pack(payload) == [numpy.packbits(numpy.array(bits, numpy.uint8)).tobytes() for bits in by_hand]


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
