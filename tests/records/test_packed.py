"""Arrays of numbers as text: nothing is lost, and nothing but an array is taken for one."""

import base64
import json
import math
import struct
import zlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from actbench.records.packed import Floats, Integers, pack, unpack

finite = st.floats(allow_nan=False, allow_infinity=False)


class Holder(BaseModel):
    floats: Floats
    integers: Integers


def bits_of(values: list[float]) -> list[bytes]:
    return [struct.pack("<d", value) for value in values]


@given(st.lists(finite) | st.lists(st.sampled_from([0.0, 1.0])) | st.lists(st.integers(0, 70_000).map(float)))
@example([-0.0, 0.0])
@example([2.0**53, 1.0])
@example([-5.0, 250.0])
def test_floats_come_back_to_the_bit(values: list[float]) -> None:
    assert bits_of([float(value) for value in unpack(pack(values))]) == bits_of(values)


@given(st.lists(st.integers(0, 2**53 - 1)))
def test_whole_numbers_come_back(values: list[int]) -> None:
    assert unpack(pack(values)) == values


def test_the_form_is_the_documented_one() -> None:
    kind, count, least, data = pack([1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0]).split(":")
    assert (kind, count, least) == ("bit", "9", "0")
    assert zlib.decompress(base64.b64decode(data)) == bytes([0b10110000, 0b10000000])
    kind, count, least, data = pack([1000, 1258, 1003]).split(":")
    assert (kind, count, least) == ("u16", "3", "1000")
    assert zlib.decompress(base64.b64decode(data)) == bytes([0, 0, 2, 1, 3, 0])
    assert pack([7, 7]).startswith("bit:2:7:")
    assert pack([0.5]).startswith("f64:1:0:")


def test_a_field_is_packed_in_json_and_a_list_on_request() -> None:
    holder = Holder(floats=[1.0, 0.0, 0.25], integers=[3, 4])
    packed = json.loads(holder.model_dump_json())
    assert packed["floats"].startswith("f64:")
    assert packed["integers"].startswith("bit:2:3:")
    assert Holder.model_validate(packed) == holder
    plain = json.loads(holder.model_dump_json(context={"plain": True}))
    assert plain == {"floats": [1.0, 0.0, 0.25], "integers": [3, 4]}
    assert Holder.model_validate(plain) == holder


BOMB = base64.b64encode(zlib.compress(bytes(10_000_000))).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bit",
        "bit:1:0",
        "f16:1:0:eJw=",
        "bit:²:0:" + pack([1.0]).rpartition(":")[2],
        "bit:-1:0:" + pack([1.0]).rpartition(":")[2],
        "bit:99999999999:0:" + pack([1.0]).rpartition(":")[2],
        "bit:1:one:" + pack([1.0]).rpartition(":")[2],
        "bit:1:0:!",
        "bit:1:0:AAAA",
        "u8:7:0:" + BOMB,
        "u8:3:0:" + pack([1, 2]).rpartition(":")[2],
        pack([0.5])[:-6],
    ],
    ids=lambda text: text[:20],
)
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        unpack(text)
    with pytest.raises(ValidationError):
        Holder.model_validate({"floats": text, "integers": []})


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_packed_numbers_are_checked_as_others_are(value: float) -> None:
    with pytest.raises(ValidationError):
        Holder.model_validate({"floats": pack([value]), "integers": []})
    with pytest.raises(ValidationError):
        Holder.model_validate({"floats": [], "integers": pack([-1])})


def test_correct_or_wrong_takes_a_bit_an_image() -> None:
    values = [float(number * number % 7 < 4) for number in range(10_000)]
    assert len(pack(values)) < 10_000 / 8 * 4 / 3 + 40
