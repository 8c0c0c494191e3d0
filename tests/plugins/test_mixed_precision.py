"""Mixed precision against NumPy's eigenvalues, exhaustive search over the widths, and its folded form."""

import copy
import itertools

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from actbench.budget import Bits, Budget, Ceiling
from actbench.codec import Allowance, MapStatistics, Unsupported
from actbench.codec.packing import layout, pack, unpack
from actbench.feature_map import FeatureMap
from actbench.network.calibration import collect
from actbench.network.deploy import deploy
from actbench.network.splice import splice
from actbench.network.trace import trace
from actbench.workloads.zoo.residual import ResidualNetwork
from actbench_plugins.mixed_precision.codec import GroupCodec
from actbench_plugins.mixed_precision.method import MixedPrecision
from actbench_plugins.mixed_precision.widths import best_widths
from tests.plugins.strategies import floats
from tests.traced import in_fp64

WIDTHS = (8, 7, 6, 5, 4, 3, 2)


def correlated(images: int = 4, channels: int = 8, height: int = 6, width: int = 6) -> torch.Tensor:
    """Channels that are mixtures of a few, with means."""
    generator = torch.Generator().manual_seed(3)
    mixing = torch.randn(channels, channels, generator=generator) * 0.6 ** torch.arange(channels)
    noise = torch.randn(images, channels, height, width, generator=generator)
    return torch.einsum("cd,ndhw->nchw", mixing, noise) + torch.arange(channels)[:, None, None]


def planned(x: torch.Tensor, bits: int, widths: tuple[int, ...] = WIDTHS, groups: int = 4) -> GroupCodec:
    _, channels, height, width = x.shape
    fmap = FeatureMap("map", channels, height // 2, width // 2, "producer", (), source=(height, width))
    codec = MixedPrecision({"groups": groups, "widths": "planned"}).codec(
        fmap, MapStatistics.of(x), Allowance(bits, widths)
    )
    assert isinstance(codec, GroupCodec)
    return codec


def error(x: torch.Tensor, codec: GroupCodec) -> float:
    return float((codec(x) - x).detach().double().square().sum(1).mean())


@pytest.mark.parametrize("groups", [1, 3, 8, 100])
def test_all_groups_without_quantisation_are_the_identity(groups: int) -> None:
    x = correlated()
    torch.testing.assert_close(planned(x, 10**6, (32,), groups)(x), x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kept", [1, 2, 3])
def test_error_is_the_sum_of_dropped_eigenvalues(kept: int) -> None:
    x = correlated()
    covariance = numpy.cov(x.transpose(0, 1).flatten(1).double().numpy(), bias=True)
    codec = planned(x, kept * 2 * 36 * 32, (32,))
    assert codec.describe()["rank"] == 2 * kept
    assert error(x, codec) == pytest.approx(numpy.linalg.eigvalsh(covariance)[: -2 * kept].sum(), rel=1e-4)


@pytest.mark.parametrize("bits", [400, 1000, 1500])
def test_stored_bits_are_the_formula_and_decode_from_bytes(bits: int) -> None:
    x = correlated(3, 7, 4, 6)
    codec = planned(x, bits)
    payload = codec.encode(x)
    expected = 24 * sum(size * width for size, width in zip(codec.core.sizes, codec.core.widths, strict=True))
    assert payload.bits_per_image().tolist() == [expected] * 3
    packed = pack(payload)
    assert {len(image) for image in packed} == {-(-expected // 8)}
    assert torch.equal(copy.deepcopy(codec).decode(unpack(packed, layout(payload))), codec.decode(payload))


@settings(max_examples=25, deadline=None)
@given(st.integers(50, 2000), st.sampled_from([WIDTHS, (8,), (4,), (32,)]), st.integers(1, 6))
def test_no_allowance_is_exceeded(bits: int, widths: tuple[int, ...], groups: int) -> None:
    x = correlated(2, 5, 4, 4)
    needed = 16 * -(-5 // min(groups, 5)) * widths[-1]
    if bits < needed:
        with pytest.raises(Unsupported, match=f"needs {needed} bits; {bits} are allowed"):
            planned(x, bits, widths, groups)
        return
    codec = planned(x, bits, widths, groups)
    assert int(codec.encode(x).bits_per_image()[0]) <= bits
    assert set(codec.core.widths) <= set(widths)


def test_bits_fall_and_error_grows_with_the_allowance() -> None:
    x = correlated()
    codecs = [planned(x, bits) for bits in (1700, 1300, 1000, 700, 400, 200)]
    stored = [int(codec.encode(x).bits_per_image()[0]) for codec in codecs]
    assert stored == sorted(stored, reverse=True)
    errors = [error(x, codec) for codec in codecs]
    assert errors == sorted(errors)


def test_widths_fall_with_the_variance_and_beat_one_width_for_all() -> None:
    x = correlated()
    codec = planned(x, 36 * 8 * 3, groups=8)
    assert codec.core.widths == sorted(codec.core.widths, reverse=True)
    assert len(set(codec.core.widths)) > 1
    assert error(x, codec) < 0.5 * error(x, planned(x, 36 * 8 * 3, groups=1))


tables = st.lists(
    st.tuples(
        st.integers(1, 4),
        st.dictionaries(st.sampled_from([0, 2, 4, 8]), floats(0, 1), min_size=1),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=100, deadline=None)
@given(tables, st.integers(0, 60))
def test_widths_are_the_best_of_all(table: list[tuple[int, dict[int, float]]], limit: int) -> None:
    elements = [count for count, _ in table]
    errors = [{0: 2.0} | distortion for _, distortion in table]
    best = min(
        sum(row[width] for row, width in zip(errors, widths, strict=True))
        for widths in itertools.product(*errors)
        if sum(count * width for count, width in zip(elements, widths, strict=True)) <= limit
    )
    choice = best_widths(elements, errors, limit)
    assert choice.error == pytest.approx(best)
    assert choice.bits == sum(count * width for count, width in zip(elements, choice.widths, strict=True)) <= limit


def test_gradients_reach_every_parameter() -> None:
    x = correlated()
    codec = planned(x, 36 * 8 * 2)
    codec(x).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in codec.parameters())


@pytest.mark.parametrize("value", [0.0, 2.5])
def test_constant_maps(value: float) -> None:
    x = torch.full((2, 4, 6, 6), value)
    torch.testing.assert_close(planned(x, 300)(x), x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("bits", ["w32a2-8", "w32a8"])
@pytest.mark.parametrize("ceiling", ["5x", "10x", "traffic:8x"])
def test_network_holds_the_ceiling_and_folds_exactly(ceiling: str, bits: str) -> None:
    torch.manual_seed(0)
    network, images = in_fp64(trace(ResidualNetwork(), (3, 16, 16))), torch.randn(4, 3, 16, 16, dtype=torch.float64)
    budget = Budget(Ceiling.parse(ceiling), Bits.parse(bits))
    plan = MixedPrecision({"groups": 8, "widths": "planned"}).plan(network, collect(network, images), budget)
    spliced = splice(network, {name: codec.double() for name, codec in plan.codecs.items()})
    stored = {}
    for name, encoder in spliced.encoders().items():
        encoder.observer = lambda _, payload, name=name: stored.__setitem__(name, int(payload.bits_per_image()[0]))
    with torch.no_grad():
        expected = spliced.module(images)
        deployed = deploy(spliced, 32, images[:1])
        torch.testing.assert_close(deployed.module(images), expected, rtol=1e-9, atol=1e-9)
    assert all(stored[fmap.name] <= budget.allowance(fmap, network.maps).bits for fmap in network.maps)
    assert any(isinstance(codec, GroupCodec) for codec in spliced.codecs().values())
    assert not any(isinstance(codec, GroupCodec) for codec in deployed.codecs().values())
