"""Codes are packed as NumPy packs their bits, come back as they were, and need little memory on the way."""

import tracemalloc
from collections.abc import Callable

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from actbench.codec import _merging, packed_codes
from actbench.codec.packed_codes import pack_codes, pack_into, packed_bytes, unpack_codes, unpack_into
from actbench.measure.memory import peak_live_bytes
from tests.codec.drawn_payloads import digits

EXACT = {
    torch.uint8: 8,
    torch.int16: 15,
    torch.int32: 31,
    torch.int64: 63,
    torch.bfloat16: 8,
    torch.float32: 24,
    torch.float64: 53,
}
"""Bits of the largest integers up to which a type holds all."""

WIDTHS = st.sampled_from([1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 32, 64]) | st.integers(1, 64)


@st.composite
def codes(draw: st.DrawFn) -> tuple[Tensor, int, bool]:
    """Codes (batch, n) or (batch, rows, n) of a type that holds them, their width, and whether they are signed."""
    width, signed = draw(WIDTHS), draw(st.booleans())
    shape = (draw(st.integers(0, 3)), *draw(st.sampled_from([(), (2,), (16,)])), draw(st.integers(0, 70)))
    types = [dtype for dtype, most in EXACT.items() if width - signed <= most and not (signed and dtype == torch.uint8)]
    low = -(1 << (width - 1)) if signed else 0
    seed = numpy.random.default_rng(draw(st.integers(0, 1000)))
    high = min(low + (1 << width) - 1, (1 << 63) - 1)
    drawn = torch.from_numpy(seed.integers(low, high, shape, endpoint=True))
    return drawn.to(draw(st.sampled_from(types or [torch.int64]))), width, signed


def by_numpy(values: Tensor, width: int) -> Tensor:
    rows = [[bit for value in row for bit in digits(int(value), width)] for row in values.flatten(0, -2).tolist()]
    bits = numpy.array(rows, numpy.uint8).reshape(*values.shape[:-1], values.shape[-1] * width)
    return torch.from_numpy(numpy.packbits(bits, axis=-1))


def with_torch_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operators that a GPU gets, on the CPU."""
    for module in (_merging, packed_codes):
        monkeypatch.setattr(module, "on_cpu", lambda tensor: False)


@pytest.mark.parametrize("numpy_too", [True, False])
@pytest.mark.parametrize("tile", [512, 1 << 16])
@given(drawn=codes())
def test_codes_are_packed_as_numpy_packs_their_bits(
    drawn: tuple[Tensor, int, bool], tile: int, numpy_too: bool
) -> None:
    values, width, signed = drawn
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(packed_codes, "_CPU_TILE", tile)
        monkeypatch.setattr(packed_codes, "_GPU_TILE", tile)
        if not numpy_too:
            with_torch_alone(monkeypatch)
        packed = pack_codes(values, width)
        back = unpack_codes(packed, values.shape[-1], width, values.dtype, signed=signed)
    assert torch.equal(packed, by_numpy(values, width))
    assert back.dtype == values.dtype
    assert torch.equal(back, values)


@pytest.mark.parametrize("width", [3, 9])
def test_codes_that_are_not_contiguous(width: int) -> None:
    values = torch.randint(0, 1 << width, (5, 7)).T
    assert torch.equal(pack_codes(values, width), by_numpy(values, width))
    assert torch.equal(unpack_codes(pack_codes(values.T, width).T.contiguous().T, 7, width).long(), values.T)


@pytest.mark.parametrize(("width", "dtype"), [(3, torch.uint8), (8, torch.uint8), (9, torch.int32), (33, torch.int64)])
def test_the_type_by_default(width: int, dtype: torch.dtype) -> None:
    assert unpack_codes(pack_codes(torch.tensor([1, 5]), width), 2, width).dtype == dtype


def test_masks() -> None:
    mask = torch.rand(3, 11) < 0.5
    assert torch.equal(unpack_codes(pack_codes(mask, 1), 11, 1, torch.bool), mask)


@pytest.mark.parametrize("width", [1, 3, 8, 9])
def test_packed_codes_of_another_length(width: int) -> None:
    too_long = torch.zeros(2, packed_bytes(16, width) + 1, dtype=torch.uint8)
    with pytest.raises(ValueError, match="16 codes"):
        unpack_codes(too_long, 16, width)
    with pytest.raises(ValueError, match="16 codes"):
        unpack_into(torch.zeros(2, 16), too_long[:, :-2], width)
    with pytest.raises(ValueError, match="16 codes"):
        pack_into(too_long, torch.zeros(2, 16), width)


def needed(run: Callable[[], Tensor]) -> int:
    """Bytes beyond the result: in tensors, and in NumPy's arrays."""
    in_tensors = peak_live_bytes(run) - run().nbytes
    tracemalloc.start()
    try:
        run()
        return in_tensors + tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize(
    ("width", "megabytes"), [(1, 16), (2, 16), (3, 16), (4, 16), (6, 16), (8, 16), (12, 16), (16, 16), (9, 1)]
)
def test_little_memory_is_needed(width: int, megabytes: int, dtype: torch.dtype) -> None:
    values = torch.zeros(megabytes, (1 << 20) // dtype.itemsize + 1, dtype=dtype)  # no row ends with a byte
    packed = pack_codes(values, width)
    assert needed(lambda: pack_codes(values, width)) < 300_000
    assert needed(lambda: unpack_codes(packed, values.shape[1], width, dtype)) < 300_000


def test_a_small_tensor_needs_a_small_tile() -> None:
    assert needed(lambda: pack_codes(torch.zeros(1, 1000), 3)) < 20_000
