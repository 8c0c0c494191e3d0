"""What HOSVD saves in training: tensorly's and NumPy's decompositions in fp64, in as many bits as a hand counts."""

import copy
import itertools
from collections.abc import Mapping, Sequence
from types import SimpleNamespace

import numpy
import pytest
import tensorly
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorly.decomposition import tucker
from torch import Tensor

from actbench import UserError
from actbench.budget import Bits, Budget, Ceiling
from actbench.codec import Allowance, Codec, FeatureMap, MapStatistics, Payload, PlainCodec, Unsupported
from actbench.codec.packing import layout, pack, unpack
from actbench.codec.quantizers import least_squares_clip
from actbench.info import OptionValue
from actbench_plugins.hosvd import coding
from actbench_plugins.hosvd.codec import least_squares_inverse
from actbench_plugins.hosvd.coding import Codes, Floats, weighted_clip
from actbench_plugins.hosvd.decomposition import project
from actbench_plugins.hosvd.method import ChannelSVD, HigherOrderSVD, SubspaceIteration, parted
from actbench_plugins.hosvd.training import SavedDecomposition, SavedMatrix, SavedSubspace

METHODS = (HigherOrderSVD, ChannelSVD, SubspaceIteration)
WIDTHS = (8, 7, 6, 5, 4, 3, 2)
SHAPE = (8, 10, 12)


def batch(images: int = 64, seed: int = 1, shape: tuple[int, int, int] = SHAPE) -> Tensor:
    """Smooth planes, mixed over images and channels, and some noise, behind a ReLU."""
    generator = torch.Generator().manual_seed(seed)
    planes = torch.nn.functional.interpolate(
        torch.randn(4, 4, 4, 4, generator=generator), size=shape[1:], mode="bicubic"
    )
    mixing = torch.randn(images, 4, generator=generator), torch.randn(shape[0], 4, generator=generator)
    mixed = torch.einsum("na,cb,abhw->nchw", *mixing, planes)
    return (mixed + 0.1 * torch.randn(mixed.shape, generator=generator)).relu()


def saved(
    method: type = HigherOrderSVD, bits: int = 960, widths: tuple[int, ...] = (8,), **options: OptionValue
) -> Codec:
    """The codec for maps of 960 values, fitted to other images than those of `batch()`."""
    fmap = FeatureMap("map", *SHAPE, "producer", ())
    made = method({"epsilon": 0.0, "factors": "codes"} | options)
    codec = made.saving(fmap, MapStatistics.of(batch(seed=2)), Allowance(bits, widths))
    assert isinstance(codec, Codec)
    return codec


def error(codec: Codec, x: Tensor) -> float:
    return float((codec(x) - x).double().norm() / x.double().norm())


def tuckers(x: Tensor, ranks: Sequence[int]) -> Tensor:
    core, factors = tucker(x.double().numpy(), rank=list(ranks), init="svd", n_iter_max=0)
    return torch.from_numpy(tensorly.tucker_to_tensor((core, factors)))


def bits_by_hand(payload: Payload, shape: Sequence[int], width: int) -> int:
    ranks = payload["ranks"][0].tolist()
    scales = 16 * sum(ranks) + 64 if width != 32 else 0
    factors = sum(size * rank for size, rank in zip(shape, ranks, strict=True))
    return width * (numpy.prod(ranks) + factors) + scales + 32 * len(ranks)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("width", [2, 5, 8])
def test_everything_is_stored_in_codes_and_counted_as_by_hand(method: type, width: int) -> None:
    x, codec = batch(), saved(method, widths=(width,))
    payload = codec.encode(x)
    shape = (64, 960) if method is ChannelSVD else tuple(x.shape)
    assert {field.bits for field in payload.fields.values() if not field.side} == {width}
    assert {name for name, field in payload.fields.items() if field.kind == "float"} == {
        "clip",
        *(f"scale{mode}" for mode in range(len(shape))),
    }
    assert int(payload.bits_per_image().sum()) == bits_by_hand(payload, shape, width) <= 960 * 64
    assert torch.equal(copy.deepcopy(codec).decode(unpack(pack(payload), layout(payload))), codec.decode(payload))
    assert codec.describe()["bits"] == width


@pytest.mark.parametrize("method", METHODS)
def test_the_papers_variant_keeps_floats(method: type) -> None:
    x, codec = batch(), saved(method, bits=4000, factors="fp32")
    payload = codec.encode(x)
    shape = (64, 960) if method is ChannelSVD else tuple(x.shape)
    assert {field.bits for field in payload.fields.values()} == {32}
    assert int(payload.bits_per_image().sum()) == bits_by_hand(payload, shape, 32) <= 4000 * 64
    assert codec.describe()["bits"] == 32


@pytest.mark.parametrize("epsilon", [0.8, 0.9])
def test_floats_are_tensorlys_decomposition(epsilon: float) -> None:
    x, codec = batch(), saved(epsilon=epsilon, factors="fp32")
    expected = tuckers(x, codec.encode(x)["ranks"][0].tolist())
    torch.testing.assert_close(codec(x).double(), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("width", [6, 8, 16])
def test_codes_come_close_to_tensorlys_decomposition(width: int) -> None:
    """Closer with every bit: by half a step of the factors and of the core."""
    x, codec = batch(), saved(epsilon=0.9, widths=(width,))
    exact = tuckers(x, codec.encode(x)["ranks"][0].tolist())
    off = float((codec(x).double() - exact).norm() / exact.norm())
    assert off < {6: 0.15, 8: 0.04, 16: 0.002}[width]


def test_the_core_is_the_least_squares_one_for_the_factors_as_they_are_read() -> None:
    """NumPy's pseudo-inverse in fp64. At 3 bits factors are far from orthonormal: their transposes would lose more."""
    x, coding = batch(), Codes(3)
    codec = SavedDecomposition(epsilon=0.8, coding=coding)
    read = coding.decomposition(codec.encode(x)).factors
    factors = [factor[0].double().numpy() for factor in read]
    matrix = numpy.kron(numpy.kron(factors[0], factors[1]), numpy.kron(factors[2], factors[3]))
    flat = x.double().flatten().numpy()
    best = matrix @ (numpy.linalg.pinv(matrix) @ flat)
    orthonormal = [factor / numpy.linalg.norm(factor, axis=0) for factor in factors]
    transposed = numpy.einsum("nchw,na,cb,he,wf->abef", x.double().numpy(), *orthonormal)
    naive = tensorly.tucker_to_tensor((transposed, orthonormal)).flatten()
    core = project(x[None], [torch.from_numpy(factor)[None].float() for factor in factors], least_squares_inverse)
    ours = tensorly.tucker_to_tensor((core[0].double().numpy(), factors)).flatten()
    numpy.testing.assert_allclose(ours, best, rtol=1e-2, atol=1e-2)
    assert numpy.linalg.norm(best - flat) < numpy.linalg.norm(naive - flat)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("factor", [8, 16])
def test_at_equal_bits_codes_lose_less_than_floats(method: type, factor: int) -> None:
    x, bits = batch(), 960 * 32 // factor
    assert error(saved(method, bits), x) < 0.9 * error(saved(method, bits, factors="fp32"), x)


def test_a_range_of_widths_is_at_least_as_good_on_the_calibration_images() -> None:
    sample = batch(seed=2)
    errors = {widths: error(saved(bits=1920, widths=widths), sample) for widths in [WIDTHS, (8,), (5,), (3,)]}
    assert errors[WIDTHS] <= min(errors.values())


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=30)
@given(bits=st.integers(1, 4000), widths=st.sampled_from([WIDTHS, (8,), (2,)]), floats=st.booleans())
def test_no_allowance_is_exceeded(method: type, bits: int, widths: tuple[int, ...], floats: bool) -> None:
    """A batch of 64 images of 8×10×12 values with ranks of 1."""
    narrowest = 32 if floats else min(widths)
    sizes = (64, 960) if method is ChannelSVD else (64, *SHAPE)
    smallest = narrowest * (1 + sum(sizes)) + (32 * len(sizes) if floats else 48 * len(sizes) + 64)
    options: Mapping[str, OptionValue] = {"factors": "fp32" if floats else "codes"}
    if smallest > 64 * bits:
        with pytest.raises(Unsupported, match=f"ranks of 1 need {smallest} bits for a batch of 64 images"):
            saved(method, bits, widths, **options)
        return
    codec = saved(method, bits, widths, **options)
    for x in (batch(seed=3), torch.randn(64, *SHAPE)):
        assert int(codec.encode(x).bits_per_image().sum()) <= 64 * bits


def test_ranks_of_a_share_need_no_ceiling() -> None:
    """At 1x every map fits in plain codes: with an ε it is decomposed nevertheless."""
    fmap = FeatureMap("map", *SHAPE, "producer", ())
    network, stats = SimpleNamespace(maps=(fmap,)), {"map": MapStatistics.of(batch())}
    budget = Budget(Ceiling.parse("traffic:1x"), Bits.parse("w8a8"))
    for options, kind in (({"epsilon": 0.8}, SavedDecomposition), ({"epsilon": 0.0}, PlainCodec)):
        plan = HigherOrderSVD({"factors": "codes"} | options).plan_saving(network, stats, budget)
        assert isinstance(plan.codecs["map"], kind)


@pytest.mark.parametrize("method", METHODS)
def test_a_small_map_takes_what_it_needs_from_the_others(method: type) -> None:
    """Of a map of 12 values ranks of 1 need more than its share of 64x, of both together less than the sum."""
    maps = (FeatureMap("large", *SHAPE, "producer", ()), FeatureMap("small", 1, 4, 3, "producer", ()))
    images = {"large": batch(), "small": batch(shape=(1, 4, 3))}
    stats = {name: MapStatistics.of(x) for name, x in images.items()}
    budget = Budget(Ceiling.parse("traffic:64x"), Bits.parse("w8a2-8"))
    codecs = method({"epsilon": 0.0, "factors": "codes"}).plan_saving(SimpleNamespace(maps=maps), stats, budget).codecs
    bits = {name: int(codecs[name].encode(x).bits_per_image().sum()) for name, x in images.items()}
    assert sum(bits.values()) <= 64 * budget.ceiling.limit(maps)
    fewest = 48 * 2 + 64 + 2 * 77 if method is ChannelSVD else 48 * 4 + 64 + 2 * 73
    assert bits["small"] >= fewest
    with pytest.raises(Unsupported, match="ranks of 1 need"):
        method({"epsilon": 0.0, "factors": "fp32"}).plan_saving(
            SimpleNamespace(maps=maps), stats, Budget(Ceiling.parse("traffic:900x"), Bits.parse("w8a2-8"))
        )


@given(st.lists(st.tuples(st.integers(1, 1000), st.integers(0, 500)), min_size=1, max_size=6), st.integers(0, 5000))
def test_parts_are_proportional_but_none_is_too_small(wanted: list[tuple[int, int]], more: int) -> None:
    sizes = {f"{number}": size for number, (size, _) in enumerate(wanted)}
    fewest = {f"{number}": least for number, (_, least) in enumerate(wanted)}
    limit = sum(fewest.values()) + more
    parts = parted(limit, sizes, fewest)
    assert limit - len(parts) < sum(parts.values()) <= limit
    free = {name: parts[name] / sizes[name] for name in parts if parts[name] > fewest[name]}
    assert all(parts[name] >= fewest[name] for name in parts)
    assert all(abs(one - other) * min(sizes.values()) <= 1 for one in free.values() for other in free.values())


@pytest.mark.parametrize("epsilon", [-0.1, 1.0])
def test_a_share_is_one(epsilon: float) -> None:
    with pytest.raises(UserError, match="give a share of the variance"):
        saved(epsilon=epsilon)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("width", [4, 8])
def test_adversarial_batches_decode_to_numbers(method: type, width: int) -> None:
    codec, point = saved(method, widths=(width,)), torch.zeros(64, *SHAPE)
    point[3, 2, 1, 0] = 1e4
    for x in (torch.zeros(64, *SHAPE), torch.full((64, *SHAPE), -7.0), point, 1e25 * batch(), 1e-25 * batch()):
        payload = codec.encode(x)
        pack(payload)
        decoded = codec.decode(payload)
        assert decoded.isfinite().all()
        assert (decoded - x).abs().max() <= 1.1 * x.abs().max()


def test_what_no_decomposition_shortens_is_stored_raw_in_codes() -> None:
    codec = SavedDecomposition(epsilon=0.9999, coding=Codes(8))
    x = torch.rand(3, 4, 5, 6)
    payload = codec.encode(x)
    assert payload.bits_per_image().tolist() == [8 * 360 + 64 + 4 * 32]
    assert (codec.decode(payload) - x).abs().max() <= 1 / 255


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays(dtype: torch.dtype) -> None:
    x, codec = batch(), saved()
    decoded = codec(x.to(dtype))
    assert decoded.dtype == dtype
    assert float((decoded.float() - codec(x)).norm()) < 0.05 * float(x.norm())


@pytest.mark.parametrize("coding", [Floats(), Codes(8)], ids=["floats", "codes"])
def test_subspace_iteration_comes_close_to_the_decomposition(coding: Floats) -> None:
    x = batch(16)
    codec, exact = SavedSubspace(x, 2400, coding), SavedDecomposition(most=2400, coding=coding)
    first = error(codec, x + 0.3 * torch.randn_like(x))
    for _ in range(3):
        payload = codec.encode(x)
    assert error(codec, x) < 1.05 * error(exact, x) < first
    assert int(payload.bits_per_image().sum()) <= 2400 * 16
    assert codec(x[:5]).shape == x[:5].shape


@pytest.mark.parametrize("seed", range(5))
def test_subspace_iteration_is_numpys(seed: int) -> None:
    """`Q R = X_(i) (X_(i)ᵀ U)` of each mode, from the factors of the step before, and their core."""
    torch.manual_seed(seed)
    codec = SavedSubspace(batch(16), 2400)
    factors = [codec._kept(mode)[0].double().numpy() for mode in range(4)]
    for _ in range(3):
        x = batch(16) + 0.3 * torch.randn_like(batch(16))
        exact = x.double().numpy()
        expected = exact
        for mode, factor in enumerate(factors):
            unfolded = numpy.moveaxis(exact, mode, 0).reshape(len(factor), -1)
            factors[mode] = numpy.linalg.qr(unfolded @ (unfolded.T @ factor))[0]
            projector = factors[mode] @ factors[mode].T
            expected = numpy.moveaxis(numpy.tensordot(projector, expected, (1, mode)), 0, mode)
        decoded = codec(x).double().numpy()
        assert numpy.linalg.norm(decoded - expected) < 1e-4 * numpy.linalg.norm(expected)


@pytest.mark.parametrize("images", [64, 40, 9])
def test_fixed_ranks_hold_what_is_allowed_for_batches_of_other_sizes(images: int) -> None:
    codec = saved(SubspaceIteration, 480)
    assert int(codec.encode(batch(images)).bits_per_image().sum()) <= 480 * images


def test_a_clip_has_the_least_weighted_error() -> None:
    """Against a grid of both ends, on all values: two thirds of them far out, and of next to no weight."""
    generator = torch.Generator().manual_seed(0)
    weights = 10 ** (-4 * torch.rand(9000, generator=generator))
    values = torch.randn(9000, generator=generator) / weights.sqrt()
    low, high = weighted_clip(values, weights, 4).tolist()

    def lost(low: float, high: float) -> float:
        step = (high - low) / 15
        decoded = ((values.clamp(low, high) - low) / step).round() * step + low
        return float(((decoded - values) * weights).double().square().sum())

    grid = torch.linspace(0.2, 12, 60).tolist()
    assert lost(low, high) <= 1.05 * min(lost(-below, above) for below in grid for above in grid)
    assert lost(low, high) < 0.5 * lost(*least_squares_clip(values, 4))


@pytest.mark.parametrize("width", [4, 6])
@pytest.mark.parametrize("shape", [SHAPE, (40, 12, 12)])
def test_no_other_clip_of_the_core_loses_less_of_the_tensor(
    monkeypatch: pytest.MonkeyPatch, width: int, shape: tuple[int, int, int]
) -> None:
    x = batch(shape=shape)
    codec = SavedDecomposition(most=2 * x[0].numel(), coding=Codes(width))
    least = error(codec, x)
    for factor in itertools.product([0.6, 0.8, 1.0, 1.25, 1.7], repeat=2):
        with monkeypatch.context() as patch:
            patch.setattr(coding, "weighted_clip", lambda *given: weighted_clip(*given) * torch.tensor(factor))  # noqa: B023
            assert error(codec, x) > 0.97 * least, factor


def test_warm_starts_are_kept_in_codes() -> None:
    codec = saved(SubspaceIteration)
    assert isinstance(codec, SavedSubspace)
    codec.encode(batch())
    assert {codec.get_buffer(f"factor{mode}").dtype for mode in range(4)} == {torch.uint8}


@pytest.mark.parametrize("coding", [Floats(), Codes(16)], ids=["floats", "codes"])
def test_a_saved_matrix_is_the_svd_of_the_batch(coding: Floats) -> None:
    x = batch(10)
    codec = SavedMatrix(SHAPE, epsilon=0.9, coding=coding)
    u, s, v = numpy.linalg.svd(x.flatten(1).double().numpy(), full_matrices=False)
    rank = int((numpy.cumsum(s**2) < 0.9 * (s**2).sum()).sum()) + 1
    expected = torch.from_numpy((u[:, :rank] * s[:rank]) @ v[:rank]).reshape(x.shape)
    torch.testing.assert_close(codec(x).double(), expected, rtol=1e-3, atol=1e-3)
    assert codec.encode(x)["core"].shape == (1, rank, rank)
