"""Codes in blocks: bits by hand, one scale a block, padding that is stored, rows, and gradients."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from actbench.codec.block_codes import BlockCodec, PowerOfTwo, in_blocks, least_error, stored_bits
from actbench.codec.element_formats import FP4_E2M1, FP8_E4M3, INT8, IntegerFormat
from actbench.codec.packed_payload import PackedPayload
from actbench.codec.packing import layout, pack, unpack
from actbench.codec.rows import write_rows
from actbench.feature_map import FeatureMap


def codec(channels: int, block: int = 4) -> BlockCodec:
    return BlockCodec(channels, block, INT8, PowerOfTwo(2.0))


def maps(channels: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(3, channels, 5, 4, generator=torch.Generator().manual_seed(seed))


@given(st.floats(2.0**-120, 2.0**120, width=32), st.sampled_from([2.0, 1.75, 8.0, 512.0]))
def test_the_scale_is_the_least_power_of_two_with_a_magnitude_below_the_reach(value: float, reach: float) -> None:
    scale = PowerOfTwo(reach)
    codes = scale.encode(torch.tensor([value]))
    found = float(scale.decode(codes))
    assert math.frexp(found)[0] == 0.5
    assert value / found < reach <= value / (found / 2) * (1 + 2**-23)
    assert codes.item() == math.log2(found) + 127


@pytest.mark.parametrize(("largest", "code"), [(0.0, 1), (2.0**-126, 1), (3e38, 254)])
def test_scales_stay_within_their_codes(largest: float, code: int) -> None:
    scale = PowerOfTwo(2.0)
    codes = scale.encode(torch.tensor([largest]))
    assert codes.tolist() == [code]
    assert scale.decode(codes).isfinite().all()


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 9), st.sampled_from([1, 2, 4, 8]))
def test_what_fills_up_the_last_block_is_stored_and_counted(channels: int, block: int) -> None:
    x = maps(channels)
    payload = codec(channels, block).encode(x)
    bits = 20 * -(-channels // block) * (8 * block + 8)
    assert payload.bits_per_image().tolist() == [bits] * 3
    assert {len(image) for image in pack(payload)} == {bits // 8}
    assert payload.bits_per_image(side_only=True).tolist() == [20 * -(-channels // block) * 8] * 3
    assert stored_bits(FeatureMap("map", channels, 5, 4, "producer", ()), block, 8, 8) == bits


def test_decoded_from_bytes_alone() -> None:
    x = maps(6)
    payload = codec(6).encode(x)
    decoded = codec(6).decode(unpack(pack(payload), layout(payload)))
    assert torch.equal(decoded, codec(6)(x))
    assert torch.equal(decoded, codec(6).decode(PackedPayload.of(payload).payload()))


def test_a_block_does_not_see_another() -> None:
    x = maps(8)
    louder = x.clone()
    louder[:, :4] *= 1000
    assert torch.equal(codec(8)(louder)[:, 4:], codec(8)(x)[:, 4:])
    assert in_blocks(x, 4).shape == (3, 2, 4, 5, 4)


def test_an_error_is_at_most_half_a_step_of_its_own_block() -> None:
    x = maps(7) * torch.tensor([1, 1, 1, 1, 1e-3, 1e-3, 1e-3])[:, None, None]
    largest = in_blocks(x, 4).abs().amax(2, keepdim=True)
    step = 2.0 ** torch.floor(torch.log2(largest)) / 64
    # Half a step, or a whole one for what is cut off at 127 of 128.
    assert ((in_blocks(x - codec(7)(x), 4)).abs() <= step).all()


def test_powers_of_two_change_nothing() -> None:
    x = maps(8)
    assert torch.equal(codec(8)(x * 2.0**20), codec(8)(x) * 2.0**20)


def test_zeros_stay_zeros() -> None:
    for element in (INT8, FP4_E2M1, IntegerFormat(2, signed=False)):
        assert not BlockCodec(3, 4, element, PowerOfTwo(2.0))(torch.zeros(2, 3, 4, 4)).any()


def test_rows_are_those_of_the_whole_map() -> None:
    x = maps(6)
    head, stripes, bits = write_rows(codec(6), x, [2, 1, 2])
    decoded = torch.cat([codec(6).decode_rows(stripe, head) for stripe in stripes], 2)
    assert torch.equal(decoded, codec(6)(x))
    assert torch.equal(bits, codec(6).encode(x).bits_per_image())


def test_gradients_pass_straight_and_values_are_those_of_the_codes() -> None:
    x = maps(6).requires_grad_()
    decoded = codec(6)(x)
    assert torch.equal(decoded.detach(), codec(6)(x.detach()))
    weights = maps(6, seed=1)
    (decoded * weights).sum().backward()
    assert torch.equal(x.grad, weights)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_type_of_the_map_is_kept(dtype: torch.dtype) -> None:
    x = maps(6).to(dtype)
    decoded = copy.deepcopy(codec(6))(x)
    assert decoded.dtype == dtype
    assert torch.equal(decoded, codec(6)(x.float()).to(dtype))


def test_the_least_error_wins() -> None:
    x = maps(8)
    narrow, wide = BlockCodec(8, 4, FP4_E2M1, PowerOfTwo(8.0)), BlockCodec(8, 4, FP8_E4M3, PowerOfTwo(512.0))
    assert least_error([narrow, wide], x) is wide
    assert least_error([wide, narrow], x) is wide
