"""Packing in operators of torch alone gives the bytes that packing in tiles gives."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode

from actbench.codec import _traced_codes as traced_codes
from actbench.codec.packed_codes import pack_codes, unpack_codes


@given(st.integers(1, 16), st.integers(0, 40), st.booleans(), st.sampled_from([torch.float32, torch.int32]), st.data())
def test_bytes_and_codes_are_the_same(
    width: int, count: int, signed: bool, dtype: torch.dtype, data: st.DataObject
) -> None:
    low, high = (-(1 << (width - 1)), (1 << (width - 1)) - 1) if signed else (0, (1 << width) - 1)
    values = data.draw(st.lists(st.integers(low, high), min_size=2 * count, max_size=2 * count))
    codes = torch.tensor(values, dtype=dtype).view(2, count)
    packed = traced_codes.pack(codes, width)
    assert torch.equal(packed, pack_codes(codes, width))
    assert torch.equal(traced_codes.unpack(packed, count, width, dtype, signed=signed), codes)


def test_what_is_only_traced_is_packed_in_operators() -> None:
    with FakeTensorMode():
        codes = torch.zeros(2, 9)
        packed = pack_codes(codes, 3)
        assert (packed.shape, packed.dtype) == ((2, 4), torch.uint8)
        assert unpack_codes(packed, 9, 3, torch.float32).shape == codes.shape
    assert traced_codes.is_traced(codes)
    assert not traced_codes.is_traced(torch.zeros(2, 9))


def test_codes_that_are_too_wide_are_not_packed() -> None:
    with pytest.raises(NotImplementedError, match="17 bits"):
        traced_codes.pack(torch.zeros(1, 8), 17)
