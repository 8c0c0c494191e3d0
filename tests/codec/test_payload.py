"""What a payload counts, and what it refuses to hold."""

from collections.abc import Callable

import pytest
import torch

from actbench.codec import Field, Payload, floating, signed, unsigned
from actbench.codec.payload import LENGTH_BITS
from actbench.errors import InvalidCodec


def test_bits_are_counted_by_image() -> None:
    payload = Payload(
        codes=unsigned(torch.zeros(2, 3, 4, 5), 7),
        scales=floating(torch.zeros(2, 3, dtype=torch.float16), side=True),
        positions=signed(torch.zeros(5), 9, lengths=torch.tensor([5, 0]), side=True),
    )
    plain, scales = 3 * 4 * 5 * 7, 3 * 16
    assert payload.bits_per_image().tolist() == [plain + scales + LENGTH_BITS + 45, plain + scales + LENGTH_BITS]
    assert payload.bits_per_image(side_only=True).tolist() == [scales + LENGTH_BITS + 45, scales + LENGTH_BITS]
    assert payload.bits_per_image().dtype == torch.int64


@pytest.mark.parametrize(
    ("dtype", "bits"), [(torch.float16, 16), (torch.bfloat16, 16), (torch.float32, 32), (torch.float64, 64)]
)
def test_a_float_costs_what_its_type_takes(dtype: torch.dtype, bits: int) -> None:
    assert Payload(values=floating(torch.zeros(1, 6, dtype=dtype))).bits_per_image().tolist() == [6 * bits]


def test_fields_are_found_by_name() -> None:
    values, lengths = torch.arange(3), torch.tensor([1, 2])
    payload = Payload(ragged=unsigned(values, 2, lengths=lengths), fixed=unsigned(torch.zeros(2, 1), 1))
    assert list(payload) == ["ragged", "fixed"]
    assert payload.batch == 2
    assert payload["ragged"] is values
    assert payload.lengths("ragged") is lengths
    with pytest.raises(KeyError, match="fixed"):
        payload.lengths("fixed")


def test_nothing_can_be_hung_on_a_payload() -> None:
    with pytest.raises(AttributeError):
        Payload().smuggled = torch.zeros(1)  # type: ignore[attr-defined]


@pytest.mark.parametrize("count", [0, 3])
def test_an_empty_batch_or_no_values(count: int) -> None:
    empty = torch.zeros(0, dtype=torch.int64)
    assert Payload(fixed=unsigned(torch.zeros(0, count), 8)).bits_per_image().tolist() == []
    assert Payload(ragged=unsigned(empty, 8, lengths=empty)).bits_per_image().tolist() == []
    assert Payload(fixed=unsigned(torch.zeros(2, 0), 8)).bits_per_image().tolist() == [0, 0]


MALFORMED: dict[str, Callable[[], Field]] = {
    "0-bits": lambda: unsigned(torch.zeros(1, 1), 0),
    "65-bits": lambda: signed(torch.zeros(1, 1), 65),
    "scalar": lambda: unsigned(torch.tensor(1), 1),
    "short": lambda: unsigned(torch.zeros(3), 1, lengths=torch.tensor([1, 1])),
    "2d": lambda: unsigned(torch.zeros(1, 2), 1, lengths=torch.tensor([2])),
    "negative-length": lambda: unsigned(torch.zeros(2), 1, lengths=torch.tensor([3, -1])),
    "2d-lengths": lambda: unsigned(torch.zeros(2), 1, lengths=torch.tensor([[1], [1]])),
    "fractional-lengths": lambda: unsigned(torch.zeros(2), 1, lengths=torch.tensor([0.5, 1.5])),
}


@pytest.mark.parametrize("make", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_fields(make: Callable[[], Field]) -> None:
    with pytest.raises(InvalidCodec):
        make()


def test_fields_of_one_payload_hold_the_same_images() -> None:
    with pytest.raises(InvalidCodec, match="different numbers of images"):
        Payload(a=unsigned(torch.zeros(2, 1), 1), b=unsigned(torch.zeros(4), 1, lengths=torch.tensor([1, 1, 2])))
