"""Projections against NumPy's eigenvalues, the published ranks, the formula of the bits, and their folded form."""

import copy
from fractions import Fraction

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from actbench.budget import Bits, Budget, Ceiling
from actbench.codec import Allowance, MapStatistics, PlainCodec, Unsupported
from actbench.codec.packing import layout, pack, unpack
from actbench.feature_map import FeatureMap
from actbench.network.calibration import collect
from actbench.network.deploy import deploy
from actbench.network.splice import splice
from actbench.network.trace import trace
from actbench.recipe import PROTOCOL_RECIPE, Recipe
from actbench.workloads.zoo.residual import ResidualNetwork
from actbench_plugins.projection.codec import ProjectionCodec
from actbench_plugins.projection.method import Projection
from tests.traced import in_fp64

WIDTHS = (8, 7, 6, 5, 4, 3, 2)


def feature_map(channels: int, height: int, width: int) -> FeatureMap:
    return FeatureMap("map", channels, height, width, "producer", (), source=(height, width))


def correlated(images: int = 4, channels: int = 8, height: int = 6, width: int = 6) -> torch.Tensor:
    """Channels that are mixtures of a few, not negative."""
    generator = torch.Generator().manual_seed(3)
    mixing = torch.randn(channels, channels, generator=generator) * 0.6 ** torch.arange(channels)
    return torch.einsum(
        "cd,ndhw->nchw", mixing, torch.randn(images, channels, height, width, generator=generator)
    ).relu()


def planned(x: torch.Tensor, bits: int, widths: tuple[int, ...] = WIDTHS, start: str = "pca") -> ProjectionCodec:
    codec = Projection({"start": start}).codec(feature_map(*x.shape[1:]), MapStatistics.of(x), Allowance(bits, widths))
    assert isinstance(codec, ProjectionCodec)
    return codec


def test_full_rank_without_quantisation_is_the_identity() -> None:
    x = correlated()
    torch.testing.assert_close(planned(x, 10**6, (32,))(x), x, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rank", [1, 3, 7])
def test_error_is_the_sum_of_dropped_eigenvalues(rank: int) -> None:
    x = correlated()
    columns = x.transpose(0, 1).flatten(1).double().numpy()
    dropped = numpy.linalg.eigvalsh(columns @ columns.T)[:-rank].sum()
    codec = planned(x, rank * 36 * 32, (32,))
    assert codec.describe() == {"rank": rank, "bits": 32}
    assert float((codec(x) - x).detach().double().square().sum()) == pytest.approx(dropped, rel=1e-4)


@pytest.mark.parametrize("width", [2, 5, 8, 16, 32])
def test_stored_bits_are_the_formula_and_decode_from_bytes(width: int) -> None:
    x = correlated(3, 5, 4, 7)
    codec = planned(x, 3 * 28 * width + 1, (width,))
    payload = codec.encode(x)
    assert payload.bits_per_image().tolist() == [3 * 28 * width] * 3
    packed = pack(payload)
    assert {len(image) for image in packed} == {-(-3 * 28 * width // 8)}
    assert torch.equal(copy.deepcopy(codec).decode(unpack(packed, layout(payload))), codec.decode(payload))


@settings(max_examples=30, deadline=None)
@given(st.integers(20, 3000), st.sampled_from([WIDTHS, (8,), (4,), (32,)]))
def test_no_allowance_is_exceeded(bits: int, widths: tuple[int, ...]) -> None:
    x = correlated(2, 4, 4, 5)
    if bits < 20 * widths[-1]:
        with pytest.raises(Unsupported, match=f"needs {20 * widths[-1]} bits; {bits} are allowed"):
            planned(x, bits, widths)
        return
    assert int(planned(x, bits, widths).encode(x).bits_per_image()[0]) <= bits


def test_a_range_of_widths_is_at_least_as_good_as_any_one_of_them() -> None:
    x = correlated()
    with torch.no_grad():
        errors = {
            widths: float((planned(x, 600, widths)(x) - x).square().sum()) for widths in [WIDTHS, (8,), (4,), (2,)]
        }
    assert errors[WIDTHS] <= min(errors.values())
    assert errors[WIDTHS] < errors[(8,)]


@pytest.mark.parametrize("start", ["pca", "default"])
def test_gradients_reach_every_parameter(start: str) -> None:
    x = correlated().requires_grad_()
    codec = planned(x.detach(), 600, (4,), start)
    codec(x).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in codec.parameters())
    assert x.grad is not None


def test_default_start_has_the_bounds_of_a_linear_layer() -> None:
    codec = planned(correlated(), 3 * 36 * 8, (8,), "default")
    assert codec.project.weight.shape == (3, 8, 1, 1)
    assert 0.2 < float(codec.project.weight.detach().abs().max()) * 8**0.5 <= 1
    assert 0.2 < float(codec.expand.weight.detach().abs().max()) * 3**0.5 <= 1


PUBLISHED = {
    4: [(64, 56, 16)] * 5 + [(128, 28, 64)] * 4 + [(256, 14, None), (512, 7, None)],
    6: [(64, 224, 10), (64, 112, 42), (128, 112, 42), (128, 56, None), (256, 56, 170), (256, 28, None)],
}


@pytest.mark.parametrize("factor", PUBLISHED)
def test_ranks_are_the_published_ones(factor: int) -> None:
    maps = [feature_map(channels, side, side) for channels, side, _ in PUBLISHED[factor]]
    budget = Budget(Ceiling("peak", Fraction(factor)), Bits.parse("w32a32"))
    for fmap, (channels, _, rank) in zip(maps, PUBLISHED[factor], strict=True):
        allowance, stats = budget.allowance(fmap, maps), MapStatistics.of(torch.rand(1, channels, 2, 2))
        assert allowance.leaves_alone(fmap) == (rank is None)
        if rank is not None:
            assert Projection({"start": "pca"}).codec(fmap, stats, allowance).describe()["rank"] == rank


@pytest.mark.parametrize("ceiling", ["8x", "16x", "traffic:6x"])
def test_folded_network_equals_the_unfolded_one(ceiling: str) -> None:
    torch.manual_seed(0)
    network, images = in_fp64(trace(ResidualNetwork(), (3, 16, 16))), torch.randn(4, 3, 16, 16, dtype=torch.float64)
    budget = Budget(Ceiling.parse(ceiling), Bits.parse("w32a2-8"))
    plan = Projection({"start": "pca"}).plan(network, collect(network, images), budget)
    assert any(isinstance(codec, ProjectionCodec) for codec in plan.codecs.values())
    spliced = splice(network, {name: codec.double() for name, codec in plan.codecs.items()})
    deployed = deploy(spliced, 32, images[:1])
    with torch.no_grad():
        torch.testing.assert_close(deployed.module(images), spliced.module(images), rtol=1e-9, atol=1e-9)
    assert all(isinstance(codec, PlainCodec) for codec in deployed.codecs().values())


def test_the_papers_recipe_is_sequential_on_a_frozen_network() -> None:
    method = Projection({"start": "pca"})
    assert method.recipe("protocol") == PROTOCOL_RECIPE
    assert method.recipe("paper") == Recipe(
        insertion="sequential", trained="codecs", batch_statistics="adapting", schedule="stages"
    )
