"""Uniform quantisers: codes, errors, gradients, and the clip."""

import copy

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from actbench.codec import UniformQuantizer
from actbench.codec.quantizers import least_squares_clip, round_straight_through, thin

WIDTHS = st.integers(1, 16)
TYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


@st.composite
def quantizers(draw: st.DrawFn, widths: st.SearchStrategy[int] = WIDTHS) -> UniformQuantizer:
    """A clip anywhere near zero; far from it fp32 has no values between the steps."""
    span, offset = draw(st.floats(1e-3, 1e3)), draw(st.floats(-2, 1))
    nonnegative = draw(st.booleans())
    low = 0.0 if nonnegative else span * offset
    return UniformQuantizer(draw(widths), low, low + span, nonnegative=nonnegative)


def ends(quantizer: UniformQuantizer) -> tuple[float, float]:
    return float(quantizer.low.detach()), float(quantizer.high.detach())


def spread(quantizer: UniformQuantizer, dtype: torch.dtype = torch.float32) -> Tensor:
    """Values inside the clip, at its ends, and outside, rising."""
    low, high = ends(quantizer)
    beyond = 0.3 * (high - low)
    inside = torch.linspace(low, high, 401, dtype=torch.float64)
    values = torch.cat([inside, torch.linspace(low - beyond, high + beyond, 201, dtype=torch.float64)])
    return values.sort().values.to(dtype)


@given(quantizers(), st.sampled_from(TYPES))
def test_codes_are_rising_integers_in_range(quantizer: UniformQuantizer, dtype: torch.dtype) -> None:
    codes = quantizer.encode(spread(quantizer, dtype)).detach().double()
    assert torch.equal(codes, codes.round())
    assert float(codes[0]) == 0
    assert float(codes[-1]) == 2**quantizer.width - 1
    assert bool((codes.diff() >= 0).all())


@given(quantizers(), st.sampled_from([torch.float32, torch.float64]))
def test_errors_are_half_a_step_inside_the_clip(quantizer: UniformQuantizer, dtype: torch.dtype) -> None:
    x = spread(quantizer, dtype)
    low, high = ends(quantizer)
    step = (high - low) / (2**quantizer.width - 1)
    rounding = 4 * torch.finfo(torch.float32).eps * max(abs(low), abs(high))
    decoded = quantizer(x).detach()
    assert decoded.dtype == dtype
    assert float((decoded - x.clamp(low, high)).abs().max()) <= step / 2 + rounding


@given(quantizers(), st.sampled_from(TYPES))
def test_what_was_decoded_has_the_same_codes(quantizer: UniformQuantizer, dtype: torch.dtype) -> None:
    assume(dtype != torch.bfloat16 or not 5 < quantizer.width <= 8)  # its own steps are coarser
    codes = quantizer.encode(spread(quantizer, dtype))
    again = quantizer.encode(quantizer.decode(codes))
    assert torch.equal(again, codes)


@given(quantizers(st.integers(1, 8)), st.sampled_from([torch.float16, torch.bfloat16]))
def test_half_precision_stays_half_precision(quantizer: UniformQuantizer, dtype: torch.dtype) -> None:
    x = spread(quantizer, dtype)
    codes = quantizer.encode(x)
    assert codes.dtype == quantizer(x).dtype == dtype
    assert torch.equal(codes.float(), quantizer.encode(x.float()))


@pytest.mark.parametrize("width", [9, 12, 16])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_does_not_cut_wide_codes(dtype: torch.dtype, width: int) -> None:
    quantizer = UniformQuantizer(width, 0.0, 2.0**width - 1, nonnegative=True)
    odd = torch.tensor([2.0**width - 1])
    assert quantizer.encode(torch.tensor([1e4 * width], dtype=dtype)).tolist() == odd.tolist()


@pytest.mark.parametrize("nonnegative", [False, True])
def test_an_end_that_learning_moves_past_the_other_leaves_codes_in_range(nonnegative: bool) -> None:
    quantizer = UniformQuantizer(4, 0.0, -0.5, nonnegative=nonnegative)
    codes = quantizer.encode(torch.linspace(-2, 2, 9)).detach()
    assert bool(((codes >= 0) & (codes <= 15)).all())


def test_an_end_that_has_crossed_can_learn_its_way_back() -> None:
    quantizer = UniformQuantizer(4, 0.0, -0.5, nonnegative=True)
    quantizer(torch.tensor([0.5, 1.0, 2.0])).sum().backward()
    assert quantizer.high.grad is not None
    assert float(quantizer.high.grad) == 3


def test_the_gradients_of_pact() -> None:
    quantizer = UniformQuantizer(4, 0.0, 6.0, nonnegative=True)
    x = torch.tensor([-1.0, 0.1, 2.3, 5.9, 6.0, 6.1, 40.0], requires_grad=True)
    outgoing = torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0])
    quantizer(x).backward(outgoing)
    assert x.grad is not None
    assert x.grad.tolist() == [0, 2, 4, 8, 0, 0, 0]
    assert isinstance(quantizer.high, torch.nn.Parameter)
    assert float(quantizer.high.grad or 0) == 16 + 32 + 64
    assert [name for name, _ in quantizer.named_parameters()] == ["high"]


def test_the_gradients_at_both_ends() -> None:
    quantizer = UniformQuantizer(3, -1.0, 2.0)
    x = torch.tensor([-3.0, -1.5, 0.0, 1.9, 2.5], requires_grad=True)
    quantizer(x).backward(torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0]))
    assert x.grad is not None
    assert x.grad.tolist() == [0, 0, 4, 8, 0]
    assert quantizer.low.grad is not None
    assert quantizer.high.grad is not None
    assert (float(quantizer.low.grad), float(quantizer.high.grad)) == (3, 16)


def test_rounding_passes_gradients() -> None:
    x = torch.tensor([0.2, 0.7, -1.6], requires_grad=True)
    rounded = round_straight_through(x)
    rounded.backward(torch.tensor([1.0, 2.0, 3.0]))
    assert rounded.tolist() == [0, 1, -2]
    assert x.grad is not None
    assert x.grad.tolist() == [1, 2, 3]


def squared_error(x: Tensor, width: int, low: float, high: float, *, nonnegative: bool) -> float:
    with torch.no_grad():
        return float((UniformQuantizer(width, low, high, nonnegative=nonnegative)(x) - x).double().square().sum())


SAMPLES = {
    "half-normal": (torch.randn(8000, generator=torch.Generator().manual_seed(1)).abs(), True),
    "sparse": (torch.randn(8000, generator=torch.Generator().manual_seed(2)).clamp_min(0).pow(3), True),
    "normal": (torch.randn(8000, generator=torch.Generator().manual_seed(3)), False),
    "heavy": (torch.randn(8000, generator=torch.Generator().manual_seed(4)).pow(3), False),
    "uniform": (torch.rand(8000, generator=torch.Generator().manual_seed(5)) - 0.5, False),
}


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_the_clip_is_the_best_of_a_dense_grid(name: str, width: int) -> None:
    x, nonnegative = SAMPLES[name]
    lowest = 0.0 if nonnegative else float(x.min())
    highest = float(x.max())
    error = squared_error(x, width, *least_squares_clip(x, width, nonnegative=nonnegative), nonnegative=nonnegative)
    assert error <= squared_error(x, width, lowest, highest, nonnegative=nonnegative) * 1.0001
    fractions = torch.linspace(0.001, 1, 1000).tolist()
    dense = min(squared_error(x, width, lowest * f, highest * f, nonnegative=nonnegative) for f in fractions)
    assert error <= dense * 1.05


@pytest.mark.parametrize("width", [2, 4])
@pytest.mark.parametrize("shift", [5.0, -5.0])
def test_the_clip_follows_values_that_lie_on_one_side_of_zero(shift: float, width: int) -> None:
    x = SAMPLES["normal"][0][:2000] + shift
    middle, half = float(x.median()), float((x.max() - x.min()) / 2)
    parts = torch.linspace(0.2, 1, 17).tolist()
    grid = [(middle - half * below, middle + half * above) for below in parts for above in parts]
    dense = min(squared_error(x, width, *clip, nonnegative=False) for clip in grid)
    assert squared_error(x, width, *least_squares_clip(x, width), nonnegative=False) <= dense * 1.1


def test_calibration_takes_the_least_squares_clip() -> None:
    x, _ = SAMPLES["half-normal"]
    quantizer = UniformQuantizer.calibrated(3, x.reshape(2, 4, 20, 50), nonnegative=True)
    low, high = least_squares_clip(x, 3, nonnegative=True)
    assert ends(quantizer) == pytest.approx((low, high))
    assert low == 0
    assert 0 < high < float(x.max())


@pytest.mark.parametrize("width", [1, 4, 8, 16])
@pytest.mark.parametrize("value", [0.0, 3.5, -2.25, 1e-20, 3e38])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_constants_decode_exactly(value: float, width: int, dtype: torch.dtype) -> None:
    x = torch.full((4, 5), value).to(dtype)
    quantizer = UniformQuantizer.calibrated(width, x)
    assert torch.equal(quantizer(x), x)


def test_a_nonnegative_map_that_is_all_zero() -> None:
    x = torch.zeros(10)
    quantizer = UniformQuantizer.calibrated(4, x, nonnegative=True)
    assert torch.equal(quantizer(x), x)
    decoded = quantizer(torch.tensor([5.0, -5.0]))
    assert decoded.tolist() == [0, 0]


@given(st.integers(1, 200), st.integers(1, 50))
def test_thinning_draws_one_value_of_each_part(count: int, most: int) -> None:
    kept = thin(torch.arange(count), most).tolist()
    parts = min(count, most)
    bounds = [part * count // parts for part in range(parts + 1)]
    assert [low <= value < high for value, low, high in zip(kept, bounds, bounds[1:], strict=False)] == [True] * parts
    assert len(kept) == parts


def test_thinning_leaves_the_global_random_state_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    first = thin(torch.arange(1000), 10)
    assert torch.equal(torch.rand(4), expected)
    assert torch.equal(thin(torch.arange(1000), 10), first)


@pytest.mark.parametrize("width", [16, 32, 64])
def test_the_clip_is_of_all_columns_of_a_map(width: int) -> None:
    """A border of zeros in the first column: a sample with a stride of rows would see nothing else."""
    x = torch.rand(64, 16, width, width, generator=torch.Generator().manual_seed(0))
    x[:, :, :, 0] = 0
    low, high = least_squares_clip(x, 4, nonnegative=True)
    assert low == 0
    assert 0.9 < high < 1
    low, high = least_squares_clip(x - 0.5, 4)
    assert low == pytest.approx(-0.5, abs=0.05)
    assert high == pytest.approx(0.5, abs=0.05)


@given(st.floats(-10, 10, width=32), st.floats(-10, 10, width=32), st.integers(1, 16), st.integers(0, 1 << 30))
def test_numbers_and_tensors_give_the_same_codes_and_values(low, high, width, seed) -> None:
    quantizer = UniformQuantizer(width, low, high)
    x = 8 * torch.randn(257, generator=torch.Generator().manual_seed(seed))
    with torch.enable_grad():
        expected = quantizer.encode(x).detach()
    with torch.no_grad():
        assert torch.equal(quantizer.encode(x), expected)
    step = (quantizer.high - quantizer.low).detach().clamp_min(1e-12) / quantizer.levels
    assert torch.equal(quantizer.decode(expected), expected * step + quantizer.low.detach())


@given(st.integers(1, 8), st.booleans(), st.integers(0, 10**6))
def test_clips_of_channels_are_those_of_quantisers_of_their_own(width: int, nonnegative: bool, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    sample = torch.randn(6, 3, 5, 4, generator=generator) * torch.tensor([0.1, 1.0, 30.0])[:, None, None]
    sample = sample.relu() if nonnegative else sample
    quantizer = UniformQuantizer.calibrated(width, sample, nonnegative=nonnegative)
    quantizer.clip_channels(sample)
    x = 2 * sample
    for channel in range(3):
        own = UniformQuantizer.calibrated(width, sample[:, channel], nonnegative=nonnegative)
        for given_x in (x[:, channel], x[:, channel].double()):
            whole = x.to(given_x.dtype)
            with torch.no_grad():
                assert torch.equal(quantizer.encode(whole)[:, channel], own.encode(given_x))
                assert torch.equal(quantizer(whole)[:, channel], own(given_x))
        assert torch.equal(quantizer.encode(x).detach()[:, channel], own.encode(x[:, channel]).detach())


def test_a_clip_for_each_channel_lowers_the_error_of_unequal_channels() -> None:
    sample = torch.randn(8, 4, 6, 6) * torch.tensor([0.01, 0.1, 1.0, 10.0])[:, None, None]
    quantizer = UniformQuantizer.calibrated(4, sample)
    with torch.no_grad():
        before = (quantizer(sample) - sample).square().mean((0, 2, 3))
        quantizer.clip_channels(sample)
        after = (quantizer(sample) - sample).square().mean((0, 2, 3))
    assert bool((after <= before * 1.01).all())
    assert bool((after[:2] < 0.1 * before[:2]).all())


def test_the_gradients_of_clips_of_channels() -> None:
    quantizer = UniformQuantizer(4, 0.0, 1.0, nonnegative=True)
    quantizer.clip_channels(torch.rand(50, 2, 4, 4) * torch.tensor([1.0, 5.0])[:, None, None])
    first, second = quantizer.high.tolist()
    x = torch.tensor([[2 * first, first / 2], [second / 2, 2 * second]])[None, :, None, :].requires_grad_()
    quantizer(x).sum().backward()
    assert quantizer.high.grad is not None
    assert quantizer.high.grad.tolist() == [1, 1]
    assert x.grad is not None
    assert x.grad[0, :, 0].tolist() == [[0, 1], [1, 0]]


def test_clips_of_channels_are_tables_and_are_loaded_again() -> None:
    quantizer = UniformQuantizer(4, -1.0, 1.0)
    quantizer.clip_channels(torch.randn(9, 5, 3, 3))
    assert sorted(map(len, quantizer.parameters())) == [5, 5]
    other = UniformQuantizer(4, -1.0, 1.0)
    other.clip_channels(torch.randn(9, 5, 3, 3))
    other.load_state_dict(quantizer.state_dict())
    x = torch.randn(2, 5, 3, 3)
    assert torch.equal(other.encode(x), quantizer.encode(x))


@torch.no_grad()
@pytest.mark.parametrize("by_channel", [False, True])
@pytest.mark.parametrize("dtype", TYPES)
def test_numbers_that_are_kept_change_nothing(dtype: torch.dtype, by_channel: bool) -> None:
    quantizer, x = UniformQuantizer(4, -1.0, 1.0), 4 * torch.rand(2, 3, 2, 2) - 2
    if by_channel:
        quantizer.clip_channels(torch.randn(50, 3, 2, 2))
    kept = copy.deepcopy(quantizer)
    kept.keep_numbers()
    for values in (x.to(dtype), x.to(dtype), x.flatten(2).to(dtype), x.double()):
        assert torch.equal(kept.encode(values), quantizer.encode(values))
        assert torch.equal(kept(values), quantizer(values))
    quantizer.width = kept.width = 2
    assert torch.equal(kept(x), quantizer(x))


@torch.no_grad()
def test_without_being_asked_no_number_is_kept() -> None:
    quantizer, x = UniformQuantizer(4, -1.0, 1.0), torch.tensor([5.0])
    assert quantizer(x).item() == pytest.approx(1.0)
    quantizer.high.data.fill_(3.0)  # which no tensor counts as a change
    assert quantizer(x).item() == pytest.approx(3.0)


def test_numbers_that_were_kept_in_inference_mode_serve_gradients_too() -> None:
    quantizer = UniformQuantizer(4, 0.0, 1.0, nonnegative=True)
    quantizer.clip_channels(torch.rand(50, 3, 2, 2))
    quantizer.keep_numbers()
    x = torch.rand(2, 3, 2, 2)
    with torch.inference_mode():
        expected = quantizer(x).clone()
    x.requires_grad_()
    quantizer(x).sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(quantizer(x).detach(), expected, rtol=0, atol=1e-6)
