"""Packed payloads hold what they were made of, in as few bytes as the bits take."""

import torch
from hypothesis import given

from actbench.codec import Field, Payload, floating, signed, unsigned
from actbench.codec.packed_payload import PackedPayload
from tests.codec.drawn_payloads import assert_same, payloads


def image_bytes(field: Field) -> list[int]:
    lengths = field.bits_per_image() - (32 if field.lengths is not None else 0)
    return [-(-int(bits) // 8) for bits in lengths]


@given(payloads())
def test_payloads_survive_in_whole_bytes_an_image(drawn: tuple[Payload, list[int]]) -> None:
    payload, _ = drawn
    packed = PackedPayload.of(payload)
    assert_same(packed.payload(), payload)
    ragged = sum(field.lengths is not None for field in payload.fields.values())
    by_hand = sum(sum(image_bytes(field)) for field in payload.fields.values()) + 4 * ragged * payload.batch
    assert packed.bytes == by_hand == sum(tensor.untyped_storage().nbytes() for tensor in packed.tensors)


def test_an_image_begins_with_a_byte() -> None:
    codes = torch.tensor([[1, 2, 3], [4, 5, 6]])
    stream = unsigned(torch.tensor([1, 1, 1, 0, 1]), 1, lengths=torch.tensor([1, 4]))
    codes_packed, bits, lengths = PackedPayload.of(Payload(codes=unsigned(codes, 3), bits=stream)).tensors
    assert codes_packed.tolist() == [[0b001_010_01, 0b1_0000000], [0b100_101_11, 0b0_0000000]]
    assert bits.tolist() == [0b10000000, 0b11010000]
    assert lengths.dtype == torch.int32
    assert lengths.tolist() == [1, 4]


def test_a_view_does_not_keep_what_it_is_a_part_of() -> None:
    whole = torch.randn(4, 1000)
    packed = PackedPayload.of(Payload(values=floating(whole[:, :3])))
    assert packed.tensors[0].untyped_storage().nbytes() == 4 * 3 * 4
    assert torch.equal(packed.payload()["values"], whole[:, :3])


def test_what_is_packed_stays_when_the_payload_is_overwritten() -> None:
    codes = torch.tensor([[7, 0, 255]], dtype=torch.uint8)
    packed = PackedPayload.of(Payload(codes=unsigned(codes, 8)))
    codes.zero_()
    assert packed.payload()["codes"].tolist() == [[7, 0, 255]]


def test_gradients_do_not_follow() -> None:
    codes = torch.ones(2, 3, requires_grad=True) * -2
    packed = PackedPayload.of(Payload(codes=signed(codes, 2), values=floating(codes)))
    assert not any(tensor.requires_grad for tensor in packed.tensors)
