"""Group codes: their error, their mean, their bits, and how widths are given out."""

import itertools

import pytest
import torch
from hypothesis import given

from actbench.budget import Bits, Budget, Ceiling
from actbench.codec import MapStatistics, Unsupported
from actbench.codec.packing import layout, pack, unpack
from actbench.feature_map import FeatureMap
from actbench.network.calibration import collect
from actbench.network.trace import TracedNetwork, trace
from actbench.workloads.zoo.residual import ResidualNetwork
from actbench_plugins.group_quantize.codec import GROUP, GroupCodes, bits_of, ends, grouped
from actbench_plugins.group_quantize.method import ErrorBound, GroupQuantization, Groups, relative_range
from tests.plugins.strategies import floats


def feature_map(channels: int, height: int, width: int) -> FeatureMap:
    return FeatureMap("map", channels, height, width, "producer", ())


def values(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(4)
    return torch.randn(*shape, generator=generator) * torch.rand(shape[0], shape[1], 1, 1, generator=generator)


@given(floats(-1e6, 1e6), floats(2**-20, 1e6))
def test_all_values_are_between_the_ends(low: float, span: float) -> None:
    groups = low + span * torch.linspace(0, 1, GROUP).reshape(1, 1, GROUP)
    lower, width = (end.float() for end in ends(groups))
    assert (lower <= groups).all()
    assert (groups <= lower + width * (1 + 1e-6) + 1e-6 * abs(low)).all()


@pytest.mark.parametrize("width", range(1, 9))
@pytest.mark.parametrize("stochastic", [True, False])
def test_the_error_is_below_a_step(width: int, stochastic: bool) -> None:
    x = values(3, 5, 9, 11)
    decoded = GroupCodes(feature_map(5, 9, 11), width, stochastic=stochastic)(x)
    step = ends(grouped(x))[1].float() / ((1 << width) - 1)
    error = (grouped(decoded) - grouped(x)).abs()[:, :-1]
    assert (error <= (1.001 if stochastic else 0.501) * step[:, :-1] + 1e-6).all()


def test_stochastic_rounding_is_right_on_average() -> None:
    torch.manual_seed(0)
    x, codec = values(2, 4, 8, 8), GroupCodes(feature_map(4, 8, 8), 2, stochastic=True)
    mean = torch.stack([codec(x) for _ in range(800)]).mean(0)
    nearest = GroupCodes(feature_map(4, 8, 8), 2, stochastic=False)(x)
    assert (mean - x).norm() < 0.1 * (nearest - x).norm()


@pytest.mark.parametrize("width", [2, 5, 8])
def test_stored_bits_are_the_formula_and_decode_from_bytes(width: int) -> None:
    x, fmap = values(2, 5, 9, 11), feature_map(5, 9, 11)
    codec = GroupCodes(fmap, width, stochastic=False)
    payload = codec.encode(x)
    assert payload.bits_per_image().tolist() == [2 * (256 * width + 32)] * 2 == [bits_of(fmap, width)] * 2
    assert torch.equal(codec.decode(unpack(pack(payload), layout(payload))), codec.decode(payload))


@pytest.fixture(scope="module")
def network() -> TracedNetwork:
    torch.manual_seed(1)
    return trace(ResidualNetwork(), (3, 16, 16))


@pytest.fixture(scope="module")
def stats(network: TracedNetwork) -> dict[str, MapStatistics]:
    return collect(network, torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(2)))


def widths(network: TracedNetwork, stats: dict[str, MapStatistics], method: type[Groups], ceiling: str) -> list[int]:
    budget = Budget(Ceiling.parse(ceiling), Bits.parse("w32a2-8"))
    codecs = method({}).plan_saving(network, stats, budget).codecs
    stored = sum(bits_of(fmap, codecs[fmap.name].width) for fmap in network.maps)
    assert stored <= budget.ceiling.limit(network.maps)
    return [codecs[fmap.name].width for fmap in network.maps]


@pytest.mark.parametrize("method", [GroupQuantization, ErrorBound])
def test_widths_fill_the_ceiling_and_fall_with_it(
    network: TracedNetwork, stats: dict[str, MapStatistics], method: type[Groups]
) -> None:
    rows = [widths(network, stats, method, f"traffic:{factor}x") for factor in (3, 5, 7, 10)]
    assert set(rows[0]) == {8}
    for wider, narrower in itertools.pairwise(rows):
        assert all(a >= b for a, b in zip(wider, narrower, strict=True))
        assert sum(wider) > sum(narrower)
    with pytest.raises(Unsupported, match="codes of 2 bits need"):
        widths(network, stats, method, "traffic:20x")


def test_the_bound_is_the_least_that_fits(network: TracedNetwork, stats: dict[str, MapStatistics]) -> None:
    """No map could give a bit to another without an error above the largest."""
    spreads = [relative_range(stats[fmap.name]) for fmap in network.maps]
    chosen = widths(network, stats, ErrorBound, "traffic:7x")
    errors = [spread / (12 * ((1 << width) - 1) ** 2) for spread, width in zip(spreads, chosen, strict=True)]
    lowered = [
        spread / (12 * ((1 << (width - 1)) - 1) ** 2)
        for spread, width in zip(spreads, chosen, strict=True)
        if width > 2
    ]
    assert min(lowered) > 0.2 * max(errors)
