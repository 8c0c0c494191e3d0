"""DCT-CM against SciPy's DCT, against PCA of the same groups, and against its own formula of bits."""

import copy
import math

import numpy
import pytest
import scipy.fft
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from actbench.codec import Allowance, MapStatistics, PlainCodec, Unsupported
from actbench.codec.packing import layout, pack, unpack
from actbench.codec.rate_control import Ladder
from actbench.feature_map import FeatureMap, Operation
from actbench.info import OptionValue
from actbench_plugins.dct import transform
from actbench_plugins.dct.codec import CenteredQuantizer, MaskedTransform
from actbench_plugins.dct.method import ChannelDCT, kept_candidates
from tests.codec.gradients import gradient_of
from tests.codec.stripes import assert_rows_give_the_whole, ladders, stripe_heights

OPTIONS: dict[str, OptionValue] = {"group": 8, "bitmap": "kept", "reorder": False}
WIDTHS = (8, 7, 6, 5, 4, 3, 2)


def feature_map(channels: int, height: int, width: int = 8, *, relu: bool = True) -> FeatureMap:
    between = (Operation("relu"),) if relu else ()
    return FeatureMap("map", channels, height, width, "producer", (), between, source=(height, width))


def smooth(count: int, channels: int = 16, height: int = 8, width: int = 8, seed: int = 0) -> torch.Tensor:
    """Maps, not negative, whose neighbouring channels are alike."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, 1, 3, height * width, generator=generator)
    x = torch.nn.functional.interpolate(coarse, size=(channels, height * width), mode="bilinear", align_corners=True)
    return (x.reshape(count, channels, height, width) + 1).relu()


def planned(x: torch.Tensor, bits: int, **options: OptionValue) -> Ladder | PlainCodec:
    codec = ChannelDCT(OPTIONS | options).codec(feature_map(*x.shape[1:]), MapStatistics.of(x), Allowance(bits, WIDTHS))
    assert isinstance(codec, Ladder | PlainCodec)
    return codec


def first_rung(codec: Ladder | PlainCodec) -> MaskedTransform:
    assert isinstance(codec, Ladder)
    rung = codec.rungs[0]
    assert isinstance(rung, MaskedTransform)
    return rung


@pytest.mark.parametrize("size", [1, 2, 3, 8, 32])
def test_basis_equals_scipy(size: int) -> None:
    x = torch.randn(4, 2 * size, 5)
    expected = scipy.fft.dct(x.reshape(4, 2, size, 5).numpy(), type=2, norm="ortho", axis=2)
    torch.testing.assert_close(transform.forward(x, transform.basis(size)), torch.from_numpy(expected))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.sampled_from([0, 8, 16, 32]))
def test_full_mask_without_rounding_is_the_identity(channels: int, group: int) -> None:
    x = torch.randn(2, channels, 3)
    size = transform.group_size(channels, group)
    assert channels % size == 0
    assert size == channels or size <= group
    matrix = transform.basis(size)
    torch.testing.assert_close(transform.inverse(transform.forward(x, matrix), matrix), x, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kept", [1, 3, 7])
def test_pca_of_the_same_groups_has_no_more_error(kept: int) -> None:
    x = smooth(4).flatten(2)
    groups = x.unflatten(1, (2, 8)).permute(2, 1, 0, 3).flatten(1)
    vectors = torch.linalg.eigh(groups @ groups.T).eigenvectors.T.flip(0)[:kept]
    errors = [
        float((transform.inverse(transform.forward(x, matrix), matrix) - x).square().sum())
        for matrix in (vectors.contiguous(), transform.basis(8)[:kept])
    ]
    assert errors[0] <= errors[1] * (1 + 1e-5)


@pytest.mark.parametrize("width", [2, 5, 8])
@pytest.mark.parametrize("nonnegative", [True, False])
def test_quantiser_codes(width: int, nonnegative: bool) -> None:
    quantizer = CenteredQuantizer(width, 0.5, nonnegative=nonnegative)
    low, high = (0, (1 << width) - 1) if nonnegative else (-(1 << (width - 1)), (1 << (width - 1)) - 1)
    q = torch.arange(low, high + 1)
    codes = quantizer.encode(q * 0.5 + 0.2)
    assert sorted(codes.tolist()) == list(range(1 << width))
    assert codes[q == 0].tolist() == [0]
    assert quantizer.decode(codes).tolist() == (q * 0.5).tolist()
    assert quantizer(torch.tensor([-1e6, 1e6])).tolist() == [low * 0.5, high * 0.5]


@pytest.mark.parametrize("whole_bitmap", [False, True])
def test_stored_bits_are_the_formula(whole_bitmap: bool) -> None:
    x = smooth(3)
    matrix, quantizer = transform.basis(8)[:3], CenteredQuantizer(6, 0.1, nonnegative=False)
    rung = MaskedTransform(feature_map(16, 8), matrix, quantizer, whole_bitmap=whole_bitmap)
    q = (transform.forward(x.flatten(2), matrix) / 0.1).round().clamp(-32, 31)
    bitmap = 16 * 64 if whole_bitmap else 16 * 64 * 3 // 8
    expected = bitmap + 6 * (q != 0).flatten(1).sum(1)
    assert torch.equal(rung.encode(x).lengths, expected)
    assert torch.equal(rung.lengths(x), expected)
    restored = transform.inverse(q * 0.1, matrix).relu().reshape(x.shape)
    torch.testing.assert_close(rung.decode(rung.encode(x), 8), restored)


@pytest.mark.parametrize("options", [{}, {"bitmap": "all"}, {"group": 0}, {"reorder": True}])
def test_no_image_goes_over_and_payloads_decode_alone(options: dict[str, OptionValue]) -> None:
    x, bits = smooth(40), 2200
    codec = planned(x, bits, **options)
    assert codec.describe()["transform"]
    rough = 9 * torch.rand(3, 16, 8, 8, generator=torch.Generator().manual_seed(0))
    noise = torch.cat([smooth(2, seed=1), rough, torch.full((1, 16, 8, 8), 50.0)])
    payload = codec.encode(noise)
    assert int(payload.bits_per_image().max()) <= bits
    assert codec.fallbacks(payload)[2:5].all()
    assert not codec.fallbacks(codec.encode(x)).any()
    decoded = copy.deepcopy(codec).decode(unpack(pack(payload), layout(payload)))
    assert torch.equal(decoded, codec.decode(payload))
    assert decoded.min() >= 0
    assert decoded.shape == noise.shape


def test_sparse_maps_keep_the_identity_and_smooth_ones_are_transformed() -> None:
    generator = torch.Generator().manual_seed(0)
    sparse = (torch.randn(20, 16, 8, 8, generator=generator) - 1.5).relu()
    assert first_rung(planned(sparse, 2200)).describe()["transform"] is False
    rung = first_rung(planned(smooth(20), 2200))
    assert rung.describe()["transform"] is True
    assert rung.describe()["kept"] < 8


def test_reordering_finds_neighbours() -> None:
    x = smooth(20)
    shuffled = x[:, torch.randperm(16, generator=torch.Generator().manual_seed(3))]
    errors = {
        reorder: float((planned(shuffled, 2200, reorder=reorder)(shuffled) - shuffled).detach().square().mean())
        for reorder in (False, True)
    }
    assert errors[True] < 0.7 * errors[False]


def test_order_is_a_path_through_all_channels() -> None:
    covariance = torch.tensor([[1.0, 0.1, 0.9], [0.1, 1.0, 0.5], [0.9, 0.5, 1.0]])
    assert transform.order_by_correlation(covariance).tolist() == [2, 0, 1]
    assert sorted(transform.order_by_correlation(torch.zeros(5, 5)).tolist()) == list(range(5))


def test_signed_maps_have_no_relu() -> None:
    x = smooth(8) - 1
    codec = ChannelDCT(OPTIONS).codec(feature_map(16, 8, relu=False), MapStatistics.of(x), Allowance(3000, WIDTHS))
    assert float(codec(x).detach().min()) < -0.5
    assert float((codec(x) - x).detach().square().mean()) < 0.05


def test_unsupported_where_nothing_fits() -> None:
    with pytest.raises(Unsupported, match="of the calibration images"):
        planned(torch.rand(8, 16, 8, 8) + 1, 100)


@pytest.mark.parametrize("reorder", [False, True])
def test_gradients_pass_the_transform(reorder: bool) -> None:
    """Of the image `Dᵀ·(kept and not clipped)·D`, and of the step LSQ's, in NumPy."""
    x, weights = torch.randn(2, 16, 4, 3).numpy(), torch.randn(2, 16, 4, 3).numpy()
    matrix, step, order = transform.basis(8)[:5], 0.3, torch.randperm(16) if reorder else torch.arange(16)
    quantizer = CenteredQuantizer(3, step, nonnegative=False)
    rung = MaskedTransform(feature_map(16, 4, 3, relu=False), matrix, quantizer, order=order if reorder else None)
    ladder = Ladder([rung], 10_000, 4)
    gradient = gradient_of(ladder, torch.from_numpy(x), torch.from_numpy(weights))

    def coefficients(values: numpy.ndarray) -> numpy.ndarray:
        groups = values[:, order.numpy()].reshape(2, 2, 8, 12)
        return scipy.fft.dct(groups, norm="ortho", axis=2)[:, :, :5]

    y, upstream = coefficients(x) / numpy.float32(step), coefficients(weights)
    inner = (y > -4) & (y < 3)
    padded = numpy.pad(upstream * inner, ((0, 0), (0, 0), (0, 3), (0, 0)))
    expected = numpy.empty_like(x)
    expected[:, order.numpy()] = scipy.fft.idct(padded, norm="ortho", axis=2).reshape(2, 16, 4, 3)
    numpy.testing.assert_allclose(gradient, expected, atol=1e-5)
    of_step = (upstream * (numpy.clip(y.round(), -4, 3) - y * inner)).sum() / math.sqrt(y[0].size * 3)
    assert quantizer.step.grad is not None
    assert float(quantizer.step.grad) == pytest.approx(of_step, rel=1e-3, abs=1e-4)


def test_a_map_behind_a_relu_has_its_gradient() -> None:
    x = smooth(3)
    codec = planned(x, 3000)
    assert isinstance(codec, Ladder)
    decoded = codec(x).detach()
    gradient = gradient_of(codec, x, (decoded <= 0).float())
    assert not gradient.any()
    assert gradient_of(codec, x, torch.ones(1)).any()


def test_masks_to_compare() -> None:
    assert kept_candidates(8) == [8, 7, 6, 5, 4, 3, 2, 1]
    assert kept_candidates(64) == [64, 56, 48, 40, 32, 24, 16, 8]
    assert kept_candidates(3) == [3, 2, 1]


def test_half_precision_stays() -> None:
    x = smooth(8)
    codec = planned(x, 2200).to(torch.float16)
    assert codec(x.half()).dtype == torch.float16


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_rows_give_what_the_whole_map_gives(data: st.DataObject) -> None:
    """Of images of which some are too rough for the first rungs."""
    channels = data.draw(st.sampled_from([16, 24, 1, 8]))
    height, width = data.draw(st.integers(1, 25)), data.draw(st.integers(1, 9))
    fmap, matrix = feature_map(channels, height, width), transform.basis(min(8, channels))
    order = torch.randperm(channels) if data.draw(st.booleans()) else None
    quantizers = [CenteredQuantizer(bits, 5 / (1 << bits), nonnegative=False) for bits in (8, 5, 3)]
    rungs = [MaskedTransform(fmap, matrix[:5], quantizer, order=order) for quantizer in quantizers]
    x = smooth(3, channels, height, width, data.draw(st.integers(0, 9))) * torch.tensor([1.0, 0.05, 9.0]).view(
        3, 1, 1, 1
    )
    x[2] *= torch.rand(x[2].shape)
    ladder = data.draw(ladders(fmap, rungs, x))
    assert_rows_give_the_whole(ladder, x, data.draw(stripe_heights(height, ladder.rows)))
