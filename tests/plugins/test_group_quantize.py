"""Group codes: their error, their mean, their bits, and widths against all that there are."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from actbench import UserError
from actbench.budget import Bits, Budget, Ceiling
from actbench.codec import MapStatistics, Unsupported
from actbench.codec.packing import layout, pack, unpack
from actbench.feature_map import FeatureMap
from actbench.network.calibration import collect
from actbench.network.trace import TracedNetwork, trace
from actbench.workloads.zoo.residual import ResidualNetwork
from actbench_plugins.group_quantize.codec import GroupCodes, ends, grouped
from actbench_plugins.group_quantize.method import ErrorBound, GroupQuantization, Groups
from actbench_plugins.group_quantize.widths import GROUP, LeastBound, LeastVariance, Rule
from tests.plugins.strategies import floats

RULES = (LeastVariance, LeastBound)


def feature_map(channels: int, height: int, width: int) -> FeatureMap:
    return FeatureMap("map", channels, height, width, "producer", ())


def values(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(4)
    return torch.randn(*shape, generator=generator) * torch.rand(shape[0], shape[1], 1, 1, generator=generator)


def codec(x: Tensor, bits_of_a_value: float, rule: Rule) -> GroupCodes:
    return GroupCodes(feature_map(*x.shape[1:]), int(bits_of_a_value * x[0].numel()), rule)


@given(floats(-1e6, 1e6), floats(2**-20, 1e6))
def test_all_values_are_between_the_ends(low: float, span: float) -> None:
    groups = low + span * torch.linspace(0, 1, GROUP).reshape(1, GROUP)
    lower, width = (end.float() for end in ends(groups))
    assert (lower <= groups).all()
    assert (groups <= lower + width * (1 + 1e-6) + 1e-6 * abs(low)).all()


@pytest.mark.parametrize("width", range(1, 9))
@pytest.mark.parametrize("kind", RULES)
def test_the_error_is_below_a_step(width: int, kind: type[Rule]) -> None:
    x = values(3, 5, 9, 11)
    made = codec(x, 100, kind([width]))
    coded = made.encode(x)["widths"][0] == width
    assert coded.all() or width <= 2, "a mean may be closer than so few levels"
    step = ends(grouped(x))[1].float()[coded] / ((1 << width) - 1)
    error = (grouped(made(x)) - grouped(x)).abs()[coded]
    assert (error <= (1.001 if kind is LeastVariance else 0.501) * step + 1e-6).all()


def test_stochastic_rounding_is_right_on_average_and_has_the_variance_that_is_minimised() -> None:
    torch.manual_seed(0)
    x, rule = torch.rand(4, 4, 8, 8, generator=torch.Generator().manual_seed(1)), LeastVariance([2])
    decoded = torch.stack([codec(x, 100, rule)(x) for _ in range(800)])
    nearest = codec(x, 100, LeastBound([2]))(x)
    assert (decoded.mean(0) - x).norm() < 0.1 * (nearest - x).norm()
    groups = grouped(x)
    expected = rule.errors(groups, ends(groups)[1])[:, 1].sum()
    assert float((decoded - x).square().sum((1, 2, 3, 4)).mean()) == pytest.approx(float(expected), rel=0.05)


@pytest.mark.parametrize("kind", RULES)
def test_a_group_without_codes_is_its_mean(kind: type[Rule]) -> None:
    x = values(2, 4, 8, 8)
    decoded = codec(x, 0.2, kind([2]))(x).flatten(1)
    torch.testing.assert_close(decoded, x.flatten(1).mean(1, keepdim=True).expand(2, 256), rtol=0.01, atol=1e-4)


@pytest.mark.parametrize("kind", RULES)
@pytest.mark.parametrize("bits", [0.5, 1.25, 2.0, 4.0, 9.0])
def test_stored_bits_are_counted_as_by_hand_and_decode_from_bytes(kind: type[Rule], bits: float) -> None:
    x = values(6, 5, 9, 11)
    made = codec(x, bits, kind(range(2, 9)))
    payload = made.encode(x)
    widths = payload["widths"][0].tolist()
    assert len(widths) == 12  # 2970 values
    by_hand = 32 + sum(4 + 16 + (16 + 256 * width if width else 0) for width in widths)
    assert payload.bits_per_image().tolist() == [by_hand]
    assert by_hand <= made.most * 6
    assert all(field.bits <= 8 for field in payload.fields.values() if not field.side)
    assert torch.equal(made.decode(unpack(pack(payload), layout(payload))), made.decode(payload))


tables = st.lists(st.tuples(floats(2**-10, 1000.0), floats(0.0, 1.0)), min_size=1, max_size=5)


@given(tables, st.integers(0, 8000), st.sampled_from(RULES))
@settings(max_examples=60)
def test_widths_are_the_best_of_all_that_take_no_more(
    ranges: list[tuple[float, float]], most: int, kind: type[Rule]
) -> None:
    """Groups of some ranges, and of a share of the variance that these may have."""
    rule = kind([2, 4, 8])
    spans = torch.tensor([[span] for span, _ in ranges])
    shares = torch.tensor([[share] for _, share in ranges])
    errors = rule.errors(spans * shares * torch.linspace(-0.5, 0.5, GROUP), spans)
    widths = rule.widths(errors, most).tolist()
    costs, choices = dict(zip([0, 2, 4, 8], rule.costs.tolist(), strict=True)), [0, 2, 4, 8]
    taken = sum(costs[width] for width in widths)
    if 32 + 20 * len(ranges) > most:
        assert set(widths) == {0}
        return
    assert taken + 32 <= most

    def loss(chosen: tuple[int, ...]) -> float:
        lost = [float(errors[row, choices.index(width)]) for row, width in enumerate(chosen)]
        return sum(lost) if kind is LeastVariance else max(lost)

    allowed = taken if kind is LeastVariance else most - 32
    every = itertools.product(choices, repeat=len(ranges))
    best = min(loss(chosen) for chosen in every if sum(costs[width] for width in chosen) <= allowed)
    assert loss(tuple(widths)) == pytest.approx(best, rel=1e-3)


@pytest.fixture(scope="module")
def network() -> TracedNetwork:
    torch.manual_seed(1)
    return trace(ResidualNetwork(), (3, 16, 16))


@pytest.fixture(scope="module")
def stats(network: TracedNetwork) -> dict[str, MapStatistics]:
    return collect(network, torch.randn(16, 3, 16, 16, generator=torch.Generator().manual_seed(2)))


def planned(
    network: TracedNetwork, stats: dict[str, MapStatistics], method: type[Groups], ceiling: str, average: float = 0.0
) -> dict[str, GroupCodes]:
    budget = Budget(Ceiling.parse(ceiling), Bits.parse("w32a2-8"))
    codecs = dict(method({"average": average}).plan_saving(network, stats, budget).codecs)
    assert sum(codecs[fmap.name].most for fmap in network.maps) <= budget.ceiling.limit(network.maps)
    return codecs


def stored(stats: dict[str, MapStatistics], codecs: dict[str, GroupCodes]) -> tuple[int, float]:
    """Bits of sixteen images, and the relative squared error in sum."""
    bits, error = 0, 0.0
    for name, made in codecs.items():
        x = stats[name].after.sample
        bits += int(made.encode(x).bits_per_image().sum())
        error += float((made(x) - x).square().sum() / x.square().sum())
    return bits, error


@pytest.mark.parametrize("method", [GroupQuantization, ErrorBound])
def test_every_ceiling_up_to_64x_is_held_and_nearly_filled(
    network: TracedNetwork, stats: dict[str, MapStatistics], method: type[Groups]
) -> None:
    errors = []
    for factor in (8, 16, 32, 64):
        bits, error = stored(stats, planned(network, stats, method, f"traffic:{factor}x"))
        limit = 16 * Ceiling.parse(f"traffic:{factor}x").limit(network.maps)
        assert 0.9 * limit < bits <= limit
        errors.append(error)
    assert errors == sorted(errors)
    assert errors[0] < errors[3] / 10
    with pytest.raises(Unsupported, match="groups without codes need"):
        planned(network, stats, method, "traffic:500x")


@pytest.mark.parametrize("average", [1.25, 1.5, 2.0])
def test_an_average_width_counts_everything(
    network: TracedNetwork, stats: dict[str, MapStatistics], average: float
) -> None:
    """ActNN's regime, whatever more the ceiling allows."""
    bits, _ = stored(stats, planned(network, stats, GroupQuantization, "traffic:4x", average))
    elements = 16 * sum(fmap.elements for fmap in network.maps)
    assert 0.95 * average < bits / elements <= average


def test_an_average_below_nothing_is_refused(network: TracedNetwork, stats: dict[str, MapStatistics]) -> None:
    with pytest.raises(UserError, match="give bits for each value"):
        planned(network, stats, GroupQuantization, "traffic:4x", -1.0)


def test_codes_of_more_than_eight_bits_are_not_for_groups(
    network: TracedNetwork, stats: dict[str, MapStatistics]
) -> None:
    budget = Budget(Ceiling.parse("traffic:2x"), Bits.parse("w32a12"))
    with pytest.raises(Unsupported, match="codes have 8 bits at most, and w32a12 asks for 12"):
        GroupQuantization({"average": 0.0}).plan_saving(network, stats, budget)


def test_groups_of_different_ranges_lose_less_than_with_one_width() -> None:
    """A quarter of the groups has a hundred times the range of the others: at 4 bits a value, all told."""
    torch.manual_seed(0)
    x = torch.randn(8, 4, 16, 16)
    x[:2] *= 100
    own = codec(x, 4.125, LeastVariance(range(2, 9)))
    same = codec(x, 100, LeastVariance([4]))
    assert (own(x) - x).norm() < 0.3 * (same(x) - x).norm()
