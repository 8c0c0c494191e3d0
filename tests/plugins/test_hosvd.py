"""HOSVD against tensorly and NumPy, its search against all ranks, and its codec against the formula of its bits."""

import copy
import itertools

import numpy
import pytest
import tensorly
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorly.decomposition import partial_tucker, tucker

from actbench.budget import Bits, Budget, Ceiling
from actbench.codec import Allowance, Codec, MapStatistics, Unsupported
from actbench.codec.packing import layout, pack, unpack
from actbench.feature_map import FeatureMap, Operation
from actbench.network.calibration import collect
from actbench.network.splice import splice
from actbench.network.trace import trace
from actbench.workloads.zoo.residual import ResidualNetwork
from actbench_plugins.hosvd.codec import DecomposedMap, least_squares_inverse
from actbench_plugins.hosvd.decomposition import (
    Decomposition,
    gram_eigenvectors,
    hosvd,
    hosvd_epsilon,
    hosvd_within,
    mode_product,
    unfold,
)
from actbench_plugins.hosvd.iteration import SWEEPS, iterated_factors, sizes_of_eigenproblems
from actbench_plugins.hosvd.method import ChannelSVD, HigherOrderSVD
from actbench_plugins.hosvd.ranks import best_ranks, kept_energy, stored_values

WIDTHS = (8, 7, 6, 5, 4, 3, 2)
METHODS = (HigherOrderSVD, ChannelSVD)


def feature_map(channels: int, height: int, width: int, relu: bool = False) -> FeatureMap:
    between = (Operation("relu"),) if relu else ()
    return FeatureMap("map", channels, height, width, "producer", (), between=between, source=(height, width))


def structured(images: int = 4, channels: int = 8, height: int = 10, width: int = 12, seed: int = 1) -> torch.Tensor:
    """Smooth planes, mixed over channels, and some noise."""
    generator = torch.Generator().manual_seed(seed)
    small = torch.randn(images, 4, 4, 4, generator=generator)
    planes = torch.nn.functional.interpolate(small, size=(height, width), mode="bicubic")
    mixed = torch.einsum("cd,ndhw->nchw", torch.randn(channels, 4, generator=generator), planes)
    return mixed + 0.1 * torch.randn(mixed.shape, generator=generator)


def planned(x: torch.Tensor, bits: int, widths: tuple[int, ...] = WIDTHS, method: type = HigherOrderSVD) -> Codec:
    codec = method({}).codec(feature_map(*x.shape[1:]), MapStatistics.of(x), Allowance(bits, widths))
    assert isinstance(codec, Codec)
    return codec


def squared_error(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).detach().double().square().sum())


@pytest.mark.parametrize("size", [(3, 5, 20), (2, 20, 5), (1, 1, 7), (2, 7, 1), (2, 6, 6)])
def test_eigenvectors_are_numpys_singular_vectors(size: tuple[int, int, int]) -> None:
    x = torch.randn(*size, generator=torch.Generator().manual_seed(0))
    values, vectors = gram_eigenvectors(x)
    left, singular, _ = numpy.linalg.svd(x.double().numpy(), full_matrices=False)
    numpy.testing.assert_allclose(values.numpy(), singular**2, rtol=1e-4, atol=1e-4)
    overlap = (torch.from_numpy(left).float() * vectors).sum(1).abs()
    torch.testing.assert_close(overlap, torch.ones_like(overlap), rtol=1e-3, atol=1e-3)


def test_signs_are_fixed() -> None:
    x = structured().flatten(2)
    torch.testing.assert_close(gram_eigenvectors(-x)[1], gram_eigenvectors(x)[1])
    vectors = gram_eigenvectors(x)[1]
    assert (vectors.gather(1, vectors.abs().argmax(1, keepdim=True)) > 0).all()


@pytest.mark.parametrize("ranks", [(3, 4, 5), (8, 1, 2), (1, 1, 1)])
def test_truncated_hosvd_has_the_error_of_tensorlys(ranks: tuple[int, int, int]) -> None:
    x = structured()
    decomposed = hosvd(x, ranks)
    assert decomposed.core.shape[1:] == ranks
    for image, restored in zip(x, decomposed.restore(), strict=True):
        core, factors = tucker(image.double().numpy(), rank=list(ranks), init="svd", n_iter_max=0)
        expected = tensorly.tucker_to_tensor((core, factors))
        numpy.testing.assert_allclose(restored.numpy(), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("ranks", [(2, 2, 2), (3, 4, 5), (6, 3, 3), (1, 1, 1), (8, 2, 4)])
def test_hooi_finds_what_tensorly_finds(ranks: tuple[int, int, int]) -> None:
    x = structured().double()
    factors = [factor for factor in iterated_factors(x, ranks, sweeps=60) if factor is not None]
    for image, *own in zip(x, *factors, strict=True):
        (core, found), _ = partial_tucker(image.numpy(), ranks, modes=[0, 1, 2], n_iter_max=60, tol=0)
        expected = squared_error(torch.from_numpy(tensorly.tucker_to_tensor((core, found))), image)
        projected = torch.einsum("chw,ca,hb,wd->abd", image, *own)
        error = squared_error(torch.einsum("abd,ca,hb,wd->chw", projected, *own), image)
        assert error == pytest.approx(expected, rel=1e-3)
        for factor in own:
            torch.testing.assert_close(factor.T @ factor, torch.eye(factor.shape[1]).double(), rtol=0, atol=1e-6)


@settings(deadline=None)
@given(st.data())
def test_hooi_is_never_worse_than_its_start(data: st.DataObject) -> None:
    """Image by image, with modes left alone, and factors of more vectors than the others leave."""
    sizes = [data.draw(st.integers(1, 6)) for _ in range(3)]
    ranks = [data.draw(st.none() | st.integers(1, size)) for size in sizes]
    scale = data.draw(st.sampled_from([0.0, 1e-20, 1.0, 1e20]))
    x = scale * torch.randn(3, *sizes, generator=torch.Generator().manual_seed(data.draw(st.integers(0, 99))))

    def energies(sweeps: int) -> torch.Tensor:
        core = x / max(scale, 1e-30)
        for mode, factor in enumerate(iterated_factors(x, ranks, sweeps)):
            core = core if factor is None else mode_product(core, factor.mT, mode)
        return core.double().square().sum((1, 2, 3))

    start, swept = energies(0), energies(SWEEPS)
    assert (swept >= start * (1 - 1e-6)).all()
    shapes = [[factor is not None and factor.shape for factor in iterated_factors(x, ranks, n)] for n in (0, SWEEPS)]
    assert shapes[0] == shapes[1]


def test_sizes_of_eigenproblems_by_hand() -> None:
    assert sizes_of_eigenproblems((8, 10, 12), (3, 4, 5), 0) == [8, 10, 12]
    assert sizes_of_eigenproblems((8, 10, 12), (3, 2, 2), 2) == [8, 10, 12, 4, 6, 6, 4, 6, 6]
    assert sizes_of_eigenproblems((8, 10, 12), (3, None, None), 2) == [8]
    assert sizes_of_eigenproblems((200, 10, 12), (3, None, 2), 1) == [120, 12, 20, 12]


@pytest.mark.parametrize("bits", [2000, 4000, 8000])
@pytest.mark.parametrize("relu", [False, True])
def test_a_plan_with_hooi_has_no_more_error(bits: int, relu: bool) -> None:
    x = structured(8).relu() if relu else structured(8)
    fmap, stats, allowance = feature_map(*x.shape[1:], relu), MapStatistics.of(x), Allowance(bits, WIDTHS)
    plain, swept = (HigherOrderSVD({"solver": solver}).codec(fmap, stats, allowance) for solver in ("hosvd", "hooi"))
    assert squared_error(swept(x), x) <= squared_error(plain(x), x)
    assert int(swept.encode(x).bits_per_image().max()) <= bits
    assert plain.operations((8, 10, 12)) <= swept.operations((8, 10, 12))


def test_tight_ranks_gain_from_hooi() -> None:
    x = structured(16, 16, 16, 16, seed=2).relu()
    fmap, stats, allowance = feature_map(16, 16, 16, relu=True), MapStatistics.of(x), Allowance(4096, WIDTHS)
    plain, swept = (HigherOrderSVD({"solver": solver}).codec(fmap, stats, allowance) for solver in ("hosvd", "hooi"))
    assert "sweeps" not in plain.describe()
    assert swept.describe()["sweeps"] == SWEEPS
    assert squared_error(swept(x), x) < 0.97 * squared_error(plain(x), x)


def test_full_ranks_are_the_identity() -> None:
    for x in (structured(), structured(2, 40, 3, 4), structured(1, 1, 6, 5)):
        torch.testing.assert_close(hosvd(x, x.shape[1:]).restore(), x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("epsilon", [0.5, 0.8, 0.9, 0.99, 0.9999])
def test_ranks_by_variance_are_numpys_and_bound_the_error(epsilon: float) -> None:
    x = structured(6)
    decomposed = hosvd_epsilon(x, epsilon)
    for mode, rank in enumerate(decomposed.core.shape):
        singular = numpy.linalg.svd(unfold(x[None].double(), mode)[0].numpy(), compute_uv=False)
        explained = (singular**2).cumsum() / (singular**2).sum()
        assert rank == int((explained < epsilon).sum()) + 1
    batched = Decomposition(decomposed.core[None], tuple(factor[None] for factor in decomposed.factors))
    error = squared_error(batched.restore()[0], x)
    assert 0 < error <= 4 * (1 - epsilon) * float(x.double().square().sum())


def test_ranks_by_variance_of_unusual_input() -> None:
    assert hosvd_epsilon(torch.zeros(3, 4, 5, 6), 0.9).core.shape == (1, 1, 1, 1)
    assert hosvd_epsilon(structured(1), 0.9).core.shape[0] == 1
    half = hosvd_epsilon(structured().half(), 0.8)
    assert half.core.dtype == torch.float32
    assert half.core.shape == hosvd_epsilon(structured(), 0.8).core.shape
    huge = hosvd_epsilon(structured() * 1e30, 0.8)
    assert huge.core.shape == half.core.shape
    assert huge.core.isfinite().all()


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 6), st.integers(0, 300), st.booleans())
@settings(max_examples=40)
def test_ranks_are_the_best_of_all(channels: int, height: int, width: int, most: int, only_channels: bool) -> None:
    shape = (channels, height, width)
    x = torch.randn(2, *shape, generator=torch.Generator().manual_seed(most))
    modes = (True, not only_channels, not only_channels)
    energy = kept_energy(x, modes)
    choices = [
        [*range(1, min(size - 1, energy.shape[mode]) + 1), None] if free else [None]
        for mode, (size, free) in enumerate(zip(shape, modes, strict=True))
    ]
    kept = {}
    for ranks in itertools.product(*choices):
        if stored_values(shape, ranks) <= most:
            index = tuple((rank or size) - 1 for rank, size in zip(ranks, energy.shape, strict=True))
            kept[ranks] = float(energy[index])
    best = best_ranks(shape, energy, most, modes)
    if not kept:
        assert best is None
        return
    assert kept[best] == pytest.approx(max(kept.values()), rel=1e-9)


@pytest.mark.parametrize("ranks", [(3, 4, 5), (8, 2, 12), (1, 1, 1)])
def test_kept_energy_is_the_error_that_remains(ranks: tuple[int, int, int]) -> None:
    x = structured()
    kept = kept_energy(x, (True, True, True))[tuple(rank - 1 for rank in ranks)]
    dropped = float(x.double().square().sum() - kept)
    assert squared_error(hosvd(x, ranks).restore(), x) == pytest.approx(dropped, rel=1e-3)


@pytest.mark.parametrize("width", [2, 5, 8, 16, 32])
@pytest.mark.parametrize("ranks", [(3, 4, 5), (None, 4, None), (2, None, None), (None, None, None)])
def test_stored_bits_are_the_formula_and_decode_from_bytes(ranks: tuple[int | None, ...], width: int) -> None:
    x = structured(3)
    codec = DecomposedMap.calibrated(feature_map(*x.shape[1:]), ranks, width, x)
    payload = codec.encode(x)
    sizes = [rank or size for rank, size in zip(ranks, x.shape[1:], strict=True)]
    factors = sum(rank * size for rank, size in zip(ranks, x.shape[1:], strict=True) if rank)
    bits = width * (sizes[0] * sizes[1] * sizes[2] + factors)
    assert bits == width * stored_values(x.shape[1:], ranks)
    assert payload.bits_per_image().tolist() == [bits] * 3
    packed = pack(payload)
    assert {len(image) for image in packed} == {-(-bits // 8)}
    assert torch.equal(copy.deepcopy(codec).decode(unpack(packed, layout(payload))), codec.decode(payload))


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=25)
@given(bits=st.integers(1, 9000), widths=st.sampled_from([WIDTHS, (8,), (3,), (32,)]))
def test_no_allowance_is_exceeded(method: type, bits: int, widths: tuple[int, ...]) -> None:
    x = structured(2, 5, 6, 7)
    smallest = (5 + 6 + 7 if method is HigherOrderSVD else 5 + 42) * widths[-1]
    if bits < smallest:
        with pytest.raises(Unsupported, match=f"ranks of 1 need {smallest} bits; {bits} are allowed"):
            planned(x, bits, widths, method)
        return
    payload = planned(x, bits, widths, method).encode(torch.randn(3, 5, 6, 7))
    assert int(payload.bits_per_image().max()) <= bits


@pytest.mark.parametrize("method", METHODS)
def test_adversarial_images_are_stored_in_as_many_bits_and_decode_to_numbers(method: type) -> None:
    codec = planned(structured(), 3000, method=method)
    assert isinstance(codec, DecomposedMap)
    shape = (1, 8, 10, 12)
    point = torch.zeros(shape)
    point[0, 3, 2, 1] = 1e4
    images = torch.cat(
        [torch.zeros(shape), torch.full(shape, -7.0), point, torch.randn(shape), torch.ones(shape) * 1e25]
    )
    payload = codec.encode(images)
    assert len(set(payload.bits_per_image().tolist())) == 1
    assert int(payload.bits_per_image()[0]) <= 3000
    pack(payload)
    assert codec.decode(payload).isfinite().all()


def test_a_channel_svd_is_the_best_approximation_of_its_rank() -> None:
    x = structured(2)
    codec = DecomposedMap.calibrated(feature_map(8, 10, 12), (3, None, None), 32, x)
    singular = numpy.linalg.svd(x.flatten(2).double().numpy(), compute_uv=False)
    dropped = (singular[:, 3:] ** 2).sum()
    assert squared_error(codec(x), x) == pytest.approx(dropped, rel=1e-3)


def test_a_range_of_widths_is_at_least_as_good_as_any_one_of_them() -> None:
    x = structured()
    errors = {widths: squared_error(planned(x, 1200, widths)(x), x) for widths in [WIDTHS, (8,), (4,), (2,)]}
    assert errors[WIDTHS] <= min(errors.values())
    assert errors[WIDTHS] < errors[(2,)]


def test_the_method_decomposes_whatever_it_gets() -> None:
    """Whether the map is better off in plain codes is not the method's question."""
    bits = 8 * 10 * 12 * 4
    assert isinstance(planned(structured(), bits), DecomposedMap)
    assert isinstance(planned(torch.randn(4, 8, 10, 12), bits), DecomposedMap)


def test_the_core_makes_up_for_quantised_factors() -> None:
    factor = hosvd(structured(), (4, 4, 4)).factors[0]
    coarse = (factor * 3).round() / 3
    x = structured().flatten(2)
    fitted = coarse @ (least_squares_inverse(coarse) @ x)
    expected = coarse.double() @ (torch.linalg.pinv(coarse.double()) @ x.double())
    assert squared_error(fitted, x) == pytest.approx(squared_error(expected, x.double()), rel=1e-3)
    assert squared_error(fitted, x) < squared_error(coarse @ (coarse.mT @ x), x)


def test_encoding_twice_gives_the_same() -> None:
    x = structured()
    codec = planned(x, 3000)
    first, second = pack(codec.encode(x)), pack(codec.encode(x.clone()))
    assert first == second
    assert pack(codec.encode(x.contiguous(memory_format=torch.channels_last))) == first


def test_gradients_are_projected_and_reach_the_clip() -> None:
    x = structured(2).requires_grad_()
    exact = DecomposedMap.calibrated(feature_map(8, 10, 12), (3, 4, 5), 32, x.detach())
    weights = torch.randn(x.shape)
    (exact(x) * weights).sum().backward()
    factors = hosvd(x.detach(), (3, 4, 5)).factors
    expected = weights
    for mode, factor in enumerate(factors):
        expected = mode_product(expected, factor @ factor.mT, mode)
    torch.testing.assert_close(x.grad, expected, rtol=1e-4, atol=1e-4)
    coarse = DecomposedMap.calibrated(feature_map(8, 10, 12), (3, 4, 5), 3, x.detach())
    coarse(x).square().sum().backward()
    learned = [parameter for parameter in coarse.parameters() if parameter.requires_grad]
    assert len(learned) == 2
    assert any(parameter.grad is not None and parameter.grad.abs() > 0 for parameter in learned)


@pytest.mark.parametrize("method", METHODS)
def test_a_network_runs_on_its_plan(method: type) -> None:
    torch.manual_seed(0)
    network, images = trace(ResidualNetwork(), (3, 16, 16)), torch.randn(4, 3, 16, 16)
    plan = method({}).plan(network, collect(network, images), Budget(Ceiling.parse("20x"), Bits.parse("w32a2-8")))
    assert any(isinstance(codec, DecomposedMap) for codec in plan.codecs.values())
    with torch.no_grad():
        assert splice(network, plan.codecs).module(images).isfinite().all()


def test_maps_after_a_relu_are_decoded_without_negative_values() -> None:
    x = structured().relu()
    codecs = [DecomposedMap.calibrated(feature_map(8, 10, 12, relu), (4, 5, 5), 6, x) for relu in (False, True)]
    free, clipped = (codec(x).detach() for codec in codecs)
    assert free.min() < 0
    assert torch.equal(clipped, free.relu())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("width", [6, 32])
def test_half_precision_stays_and_is_close(dtype: torch.dtype, width: int) -> None:
    x = structured()
    codec = planned(x, 500 * width, (width,))
    assert isinstance(codec, DecomposedMap)
    expected, decoded = codec(x), codec.to(dtype)(x.to(dtype))
    assert decoded.dtype == dtype
    assert squared_error(decoded.float(), expected) < 0.01 * float(x.square().sum())


@pytest.mark.parametrize("says_so", [True, False])
def test_a_solver_that_does_not_converge_is_tried_in_double_precision(
    monkeypatch: pytest.MonkeyPatch, says_so: bool
) -> None:
    x, solve = structured(), torch.linalg.eigh
    expected = hosvd(x, (3, 4, 5)).restore()

    def stubborn(matrix: torch.Tensor) -> object:
        if matrix.dtype == torch.float64:
            return solve(matrix)
        if says_so:
            raise torch.linalg.LinAlgError("failed to converge")
        return tuple(torch.full_like(solution, torch.nan) for solution in solve(matrix))

    monkeypatch.setattr(torch.linalg, "eigh", stubborn)
    torch.testing.assert_close(hosvd(x, (3, 4, 5)).restore(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("most", [40, 80, 300])
def test_ranks_within_a_number_of_values_are_those_of_the_largest_share(most: int) -> None:
    x = structured(6)
    decomposed = hosvd_within(x, most)

    def values(decomposition: Decomposition) -> int:
        return decomposition.core.numel() + sum(factor.numel() for factor in decomposition.factors)

    assert values(decomposed) <= most
    shares = torch.linspace(0, 1, 400).tolist()[1:-1]
    fitting = [epsilon for epsilon in shares if values(hosvd_epsilon(x, epsilon)) <= most]
    assert decomposed.core.shape == hosvd_epsilon(x, max(fitting)).core.shape
