"""Means of blocks and what they leave, against NumPy and by hand."""

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from actbench import UserError
from actbench.codec import Allowance, FeatureMap, MapStatistics, PlainCodec, Unsupported
from actbench.codec.packing import layout, pack, unpack
from actbench.info import OptionValue
from actbench_plugins.dual_precision.codec import DividedMap, ends, grouped
from actbench_plugins.dual_precision.method import DualPrecision
from tests.plugins.strategies import floats

SHAPE = (3, 11, 13)
VALUES = 3 * 11 * 13
MAP = FeatureMap("map", *SHAPE, "producer", ())
WIDTHS = (8, 7, 6, 5, 4, 3, 2)


def images(number: int = 4, seed: int = 0) -> Tensor:
    """Smooth planes and some noise."""
    generator = torch.Generator().manual_seed(seed)
    small = torch.randn(number, 3, 3, 3, generator=generator)
    planes = torch.nn.functional.interpolate(small, size=SHAPE[1:], mode="bilinear")
    return planes + 0.2 * torch.randn(planes.shape, generator=generator)


def saved(bits: int, widths: tuple[int, ...] = WIDTHS, **options: OptionValue) -> DividedMap:
    chosen: dict[str, OptionValue] = {"block": 4, "means": "codes"}
    method = DualPrecision(chosen | options)
    codec = method.saving(MAP, MapStatistics.of(images()), Allowance(bits, widths))
    assert isinstance(codec, DividedMap)
    return codec


def means_by_hand(x: Tensor, block: int) -> numpy.ndarray:
    """Each value replaced by the mean of its block."""
    values, filled = x.double().numpy(), numpy.empty(x.shape)
    for row in range(0, x.shape[2], block):
        for column in range(0, x.shape[3], block):
            part = (..., slice(row, row + block), slice(column, column + block))
            filled[part] = values[part].mean((2, 3), keepdims=True)
    return filled


@pytest.mark.parametrize("block", [1, 4, 8, 13])
def test_what_is_stored_is_numpys_means_and_what_they_leave(block: int) -> None:
    """In codes of 16 bits, next to all of it."""
    x, codec = images(seed=1), DividedMap(MAP, block, PlainCodec(None), 16)
    payload = codec.encode(x)
    stored = payload["values"].numpy().repeat(block, 2).repeat(block, 3)[..., :11, :13]
    numpy.testing.assert_allclose(stored, means_by_hand(x, block), atol=1e-5)
    low = payload["low"].double().numpy().repeat(256, 1)[:, :VALUES]
    step = payload["span"].double().numpy().repeat(256, 1)[:, :VALUES] / 65535
    rest = (low + payload["rest"].double().numpy() * step).reshape(x.shape)
    numpy.testing.assert_allclose(rest, x.double().numpy() - means_by_hand(x, block), atol=1e-3)
    numpy.testing.assert_allclose(codec.decode(payload).numpy(), stored + rest, atol=1e-5)


@given(floats(-1e6, 1e6), floats(2**-20, 1e6))
def test_all_values_are_between_the_ends(low: float, span: float) -> None:
    groups = low + span * torch.linspace(0, 1, 256).reshape(1, 1, 256)
    lower, width = (end.float() for end in ends(groups))
    assert (lower <= groups).all()
    assert (groups <= lower + width * (1 + 1e-6) + 1e-6 * abs(low)).all()


@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_the_error_is_below_a_step_and_zero_on_average(width: int) -> None:
    torch.manual_seed(0)
    x, codec = images(2), DividedMap(MAP, 4, PlainCodec(None), width)
    step = codec.encode(x)["span"].float().repeat_interleave(256, 1)[:, :VALUES].reshape(x.shape) / (2**width - 1)
    errors = torch.stack([codec(x) - x for _ in range(300)])
    assert (errors.abs() <= 1.001 * step + 1e-6).all()
    assert errors.mean(0).norm() < 0.08 * step.norm()
    assert errors[0].norm() > 0.2 * step.norm()


def test_the_rest_takes_back_what_the_codes_of_means_lose() -> None:
    """Means in codes of 2 bits: the residual is of what is decoded."""
    codec = saved(10**6, (2,))
    coarse, exact = DividedMap(MAP, 4, codec.means, 12), DividedMap(MAP, 4, PlainCodec(None), 12)
    x = images(seed=3)
    assert (coarse(x) - x).norm() < 5 * (exact(x) - x).norm() < 0.01 * x.norm()


@pytest.mark.parametrize(("means", "wide"), [("codes", 8), ("fp32", 32)])
@pytest.mark.parametrize("width", [2, 3, 4])
def test_the_widest_rest_that_fits_is_counted_as_by_hand(means: str, wide: int, width: int) -> None:
    """Blocks of 4 on 11×13: 3·4 means a channel; 429 values in 2 groups."""
    by_hand = wide * 3 * 3 * 4 + width * VALUES + 2 * 32
    for bits, expected in [(by_hand, width), (by_hand - 1, width - 1)]:
        if expected < 2:
            continue
        codec, x = saved(bits, means=means), images(seed=2)
        assert codec.describe() == {"block": 4, "bits of the means": wide, "bits of the rest": expected}
        payload = codec.encode(x)
        assert payload.bits_per_image().tolist() == [by_hand - (width - expected) * VALUES] * 4
        assert payload.bits_per_image(side_only=True).tolist() == [64] * 4
        assert torch.equal(codec.decode(unpack(pack(payload), layout(payload))), codec.decode(payload))


@settings(max_examples=30)
@given(st.integers(1, 5000), st.sampled_from([WIDTHS, (8,), (2,)]), st.integers(1, 20))
def test_no_allowance_is_exceeded(bits: int, widths: tuple[int, ...], block: int) -> None:
    side = min(block, 13)
    needed = widths[0] * 3 * -(-11 // side) * -(-13 // side) + widths[-1] * VALUES + 64
    if needed > bits:
        with pytest.raises(Unsupported, match=f"means and a rest need {needed} bits; {bits} are allowed"):
            saved(bits, widths, block=block)
        return
    assert int(saved(bits, widths, block=block).encode(images(2, seed=3)).bits_per_image().max()) <= bits


def test_means_pay_where_planes_are_smooth() -> None:
    """Against groups alone, which one block of the whole map all but is, at the same width of the rest."""
    torch.manual_seed(0)
    x = images()
    divided, whole = (DividedMap(MAP, block, PlainCodec(None), 2) for block in (4, 13))
    assert (divided(x) - x).norm() < 0.8 * (whole(x) - x).norm()


def test_a_block_has_a_side() -> None:
    with pytest.raises(UserError, match=r"dual-precision.block=0: give the side of a block"):
        saved(5000, block=0)


def test_the_last_group_is_filled_up_with_what_changes_no_end() -> None:
    assert torch.equal(ends(grouped(torch.full((1, 300), 3.0)))[0], ends(torch.full((1, 2, 256), 3.0))[0])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays(dtype: torch.dtype) -> None:
    x, codec = images(), saved(10**6)
    decoded = codec(x.to(dtype))
    assert decoded.dtype == dtype
    assert float((decoded.detach().float() - x).norm()) < 0.02 * float(x.norm())
