"""Greedy projections against NumPy's eigenvalues, the allocation against exhaustive search, and their folded form."""

import copy
import itertools
from collections.abc import Mapping

import numpy
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from actbench.budget import Bits, Budget, Ceiling
from actbench.codec import Codec, MapStatistics, PlainCodec, SideStatistics, UniformQuantizer, Unsupported
from actbench.codec.packing import layout, pack, unpack
from actbench.codec.principal_components import Components
from actbench.network.calibration import collect
from actbench.network.deploy import deploy
from actbench.network.splice import splice
from actbench.network.trace import TracedNetwork, trace
from actbench.workloads.zoo.residual import ResidualNetwork
from actbench_plugins.greedy.allocation import Setting, allocate, convex, efficient, fit
from actbench_plugins.greedy.codec import ComponentCodec
from actbench_plugins.greedy.distortion import Distortion, plain_errors
from actbench_plugins.greedy.method import GreedyProjection
from actbench_plugins.greedy.metrics import METRICS, by_error, by_loss
from tests.plugins.strategies import floats
from tests.traced import in_fp64


def correlated(images: int = 4, channels: int = 8, height: int = 6, width: int = 6) -> torch.Tensor:
    """Channels that are mixtures of a few, with means."""
    generator = torch.Generator().manual_seed(3)
    mixing = torch.randn(channels, channels, generator=generator) * 0.6 ** torch.arange(channels)
    noise = torch.randn(images, channels, height, width, generator=generator)
    return torch.einsum("cd,ndhw->nchw", mixing, noise) + torch.arange(channels)[:, None, None]


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.fixture(scope="module")
def network() -> TracedNetwork:
    torch.manual_seed(0)
    return in_fp64(trace(ResidualNetwork(), (3, 16, 16)))


@pytest.fixture(scope="module")
def stats(network: TracedNetwork, images: torch.Tensor) -> dict[str, MapStatistics]:
    return collect(network, images)


def stored(
    network: TracedNetwork, stats: dict[str, MapStatistics], ceiling: str, bits: str = "w8a2-8", metric: str = "error"
) -> dict[str, int]:
    """Bits of an image of each map, counted in its payload."""
    plan = GreedyProjection({"metric": metric, "widths": "planned"}).plan(
        network, stats, Budget(Ceiling.parse(ceiling), Bits.parse(bits))
    )
    counted = {}
    for name, codec in plan.codecs.items():
        x = stats[name].before if codec.side == "before" else stats[name].after
        counted[name] = int(codec.encode(x.sample).bits_per_image()[0])
    return counted


def test_all_components_without_quantisation_are_the_identity() -> None:
    x = correlated()
    torch.testing.assert_close(ComponentCodec(Components.of(SideStatistics.of(x)), None)(x), x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rank", [1, 3, 7])
def test_error_is_the_sum_of_dropped_eigenvalues(rank: int) -> None:
    x = correlated()
    covariance = numpy.cov(x.transpose(0, 1).flatten(1).double().numpy(), bias=True)
    dropped = numpy.linalg.eigvalsh(covariance)[:-rank].sum()
    codec = ComponentCodec(Components.of(SideStatistics.of(x)).only(slice(rank)), None)
    error = (codec(x) - x).detach().double().square().sum(1).mean()
    assert float(error) == pytest.approx(dropped, rel=1e-4)


@pytest.mark.parametrize("width", [2, 5, 8, 32])
def test_stored_bits_are_the_formula_and_decode_from_bytes(width: int) -> None:
    x = correlated(3, 5, 4, 7)
    codec = ComponentCodec(
        Components.of(SideStatistics.of(x)).only(slice(3)), None if width == 32 else UniformQuantizer(width, -3, 3)
    )
    payload = codec.encode(x)
    assert payload.bits_per_image().tolist() == [3 * 28 * width] * 3
    packed = pack(payload)
    assert {len(image) for image in packed} == {-(-3 * 28 * width // 8)}
    assert torch.equal(copy.deepcopy(codec).decode(unpack(packed, layout(payload))), codec.decode(payload))


def test_gradients_reach_every_parameter() -> None:
    x = correlated()
    codec = ComponentCodec(Components.of(SideStatistics.of(x)).only(slice(3)), UniformQuantizer(4, -1, 1))
    codec(x).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in codec.parameters())


@pytest.mark.parametrize("bits", ["w8a2-8", "w8a8", "w32a32"])
@pytest.mark.parametrize("ceiling", ["1x", "5x", "12x"])
def test_peak_ceilings_are_held_by_every_map(
    network: TracedNetwork, stats: dict[str, MapStatistics], ceiling: str, bits: str
) -> None:
    limit = Ceiling.parse(ceiling).limit(network.maps)
    assert max(stored(network, stats, ceiling, bits).values()) <= limit


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("bits", ["w8a3-4"])
def test_traffic_is_held_and_falls_with_the_ceiling(
    network: TracedNetwork, stats: dict[str, MapStatistics], metric: str, bits: str
) -> None:
    ceilings = ["traffic:8x", "traffic:10x", "traffic:30x"]
    before = None
    for ceiling in ceilings:
        counted = stored(network, stats, ceiling, bits, metric)
        assert sum(counted.values()) <= Ceiling.parse(ceiling).limit(network.maps)
        assert before is None or all(counted[name] <= before[name] for name in counted)
        before = counted


def test_peak_bits_fall_with_the_ceiling(network: TracedNetwork, stats: dict[str, MapStatistics]) -> None:
    series = [stored(network, stats, f"{factor}x") for factor in (5, 6, 7, 13)]
    for larger, smaller in itertools.pairwise(series):
        assert all(smaller[name] <= larger[name] for name in smaller)


@pytest.mark.parametrize("ceiling", ["2000x", "traffic:2000x"])
def test_too_low_a_ceiling_is_refused_with_figures(
    network: TracedNetwork, stats: dict[str, MapStatistics], ceiling: str
) -> None:
    limit = Ceiling.parse(ceiling).limit(network.maps)
    with pytest.raises(Unsupported, match=rf"needs \d+ bits; {limit} are allowed"):
        stored(network, stats, ceiling)


@pytest.mark.parametrize("ceiling", ["8x", "20x", "traffic:12x"])
def test_folded_network_equals_the_unfolded_one(
    network: TracedNetwork, stats: dict[str, MapStatistics], images: torch.Tensor, ceiling: str
) -> None:
    budget = Budget(Ceiling.parse(ceiling), Bits.parse("w32a3-8"))
    plan = GreedyProjection({"metric": "error", "widths": "planned"}).plan(network, stats, budget)
    spliced = splice(network, {name: codec.double() for name, codec in plan.codecs.items()})
    assert any(isinstance(codec, ComponentCodec) for codec in spliced.codecs().values())
    deployed = deploy(spliced, 32, images[:1])
    with torch.no_grad():
        torch.testing.assert_close(deployed.module(images), spliced.module(images), rtol=1e-9, atol=1e-9)
    assert not any(isinstance(codec, ComponentCodec) for codec in deployed.codecs().values())


bits_and_errors = st.dictionaries(
    st.sampled_from("abc"),
    st.lists(st.tuples(st.integers(1, 40), floats(0, 1)), min_size=1, max_size=5),
    min_size=1,
)


def efficient_settings(drawn: dict[str, list[tuple[int, float]]]) -> dict[str, list[Setting]]:
    """Below a whole map of 41 bits, what is efficient of some bits and errors."""
    return {
        name: efficient(Setting(None, 8, 41, 0.0), [Setting(1, 8, bits, error) for bits, error in pairs])
        for name, pairs in drawn.items()
    }


@settings(max_examples=60, deadline=None)
@given(bits_and_errors, st.integers(1, 120))
def test_allocation_holds_any_limit_that_can_be_held(drawn: dict[str, list[tuple[int, float]]], limit: int) -> None:
    fronts = efficient_settings(drawn)
    for front in fronts.values():
        assert all(a.bits > b.bits and a.error <= b.error for a, b in itertools.pairwise(front[1:]))
    if sum(front[-1].bits for front in fronts.values()) > limit:
        with pytest.raises(Unsupported):
            allocate(fronts, limit, by_error(fronts))
        return
    assert sum(setting.bits for setting in allocate(fronts, limit, by_error(fronts)).values()) <= limit


@settings(max_examples=100, deadline=None)
@given(bits_and_errors, st.integers(1, 120))
def test_no_choice_of_as_many_bits_leaves_more_signal(drawn: dict[str, list[tuple[int, float]]], limit: int) -> None:
    """Neither another allocation, a uniform one say, nor one over settings that are not convex."""
    fronts = efficient_settings(drawn)
    assume(sum(front[-1].bits for front in fronts.values()) <= limit)
    hulls = {name: convex(front) for name, front in fronts.items()}
    chosen = allocate(hulls, limit, by_error(hulls)).values()
    bits, lost = sum(setting.bits for setting in chosen), sum(setting.lost for setting in chosen)
    for choice in itertools.product(*fronts.values()):
        assert sum(s.bits for s in choice) > bits or sum(s.lost for s in choice) >= lost - 1e-6


def test_a_step_that_costs_much_does_not_hide_a_cheap_one_below() -> None:
    falling = [Setting(3, 8, 30, 0.0), Setting(2, 8, 28, 0.3), Setting(1, 8, 10, 0.31), Setting(1, 4, 5, 0.9)]
    assert convex(falling) == [falling[0], *falling[2:]]
    assert convex(falling[:1]) == falling[:1]


def test_a_loss_of_the_whole_network_can_be_the_score() -> None:
    """The callback sees what all maps have now: here b costs nothing until a has shrunk."""
    possible = {name: [Setting(3 - i, 8, 3 - i, float(i)) for i in range(3)] for name in "ab"}
    taken = allocate(possible, 3, lambda chosen, name, _: 1.0 if (name == "b") == (chosen["a"].bits == 3) else 0.0)
    assert {name: setting.bits for name, setting in taken.items()} == {"a": 2, "b": 1}


def test_the_measured_loss_decides() -> None:
    """a's steps cost the task more than b's, whatever their predicted errors say, and c's cost less than noise."""
    possible = {name: [Setting(4 - i, 8, 4 - i, 0.0) for i in range(4)] for name in "abc"}
    weight, calls = {"a": 4.0, "b": 1.0, "c": 0.0}, []

    def loss(chosen: Mapping[str, Setting]) -> float:
        calls.append(1)
        return sum(weight[name] * (4 - setting.bits) ** 2 for name, setting in chosen.items())

    taken = allocate(possible, 7, by_loss(loss))
    assert {name: setting.bits for name, setting in taken.items()} == {"a": 4, "b": 2, "c": 1}
    assert len(calls) < 20, "the loss of settings that were seen already is not computed again"


class WithLoss(TracedNetwork):
    """Whose loss says that the first map must not be touched."""

    def loss(self, codecs: Mapping[str, Codec]) -> float:
        first = codecs[self.maps[0].name]
        return 0.0 if first.describe() == {"bits": 8} else 1.0


def test_a_plan_by_loss_asks_the_network(network: TracedNetwork, stats: dict[str, MapStatistics]) -> None:
    asked = WithLoss(network.module, network.maps, network.activations, network.places, network.input_shape)
    budget = Budget(Ceiling.parse("traffic:8x"), Bits.parse("w8a4-8"))
    plan = GreedyProjection({"metric": "loss", "widths": "planned"}).plan(asked, stats, budget)
    assert plan.codecs[network.maps[0].name].describe() == {"bits": 8}
    assert any(isinstance(codec, ComponentCodec) for codec in plan.codecs.values())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(1, 9), min_size=3, max_size=3), min_size=3, max_size=3), st.integers(6, 17))
def test_lazy_scores_give_the_plain_greedy_choice(costs: list[list[int]], limit: int) -> None:
    names = "abc"
    possible = {
        name: [Setting(4 - i, 8, 2 * (4 - i), sum(row[:i])) for i in range(4)]
        for name, row in zip(names, costs, strict=True)
    }

    def score(chosen: Mapping[str, Setting], name: str, lower: Setting) -> float:
        """A step is worth less the more the next map has shrunk."""
        neighbour = names[(names.index(name) + 1) % 3]
        return chosen[neighbour].bits / (lower.error - chosen[name].error)

    expected, level = {name: possible[name][0] for name in names}, dict.fromkeys(names, 0)
    while sum(setting.bits for setting in expected.values()) > limit:
        lower = {name: possible[name][level[name] + 1] for name in names if level[name] < 3}
        best = max(lower, key=lambda name: score(expected, name, lower[name]))
        level[best] += 1
        expected[best] = lower[best]
    assert allocate(possible, limit, score) == expected


def test_fit_takes_the_first_setting_within_the_limit() -> None:
    falling = [Setting(None, 8, 9, 0.0), Setting(2, 8, 6, 0.1), Setting(1, 8, 3, 0.2)]
    assert [fit("map", falling, limit).bits for limit in (9, 8, 6, 5, 3)] == [9, 6, 6, 3, 3]


def test_predicted_error_without_quantisation_is_the_part_of_the_variance_dropped() -> None:
    distortion = Distortion(torch.tensor([0.5, 0.3, 0.2]), {32: 0.0, 2: 0.1})
    assert distortion(2, 32) == pytest.approx(0.2)
    assert distortion(2, 2) == pytest.approx(0.2 + 0.1 * 0.8)


def test_weights_are_the_eigenvalues_over_their_sum() -> None:
    x = correlated()
    values = numpy.linalg.eigvalsh(numpy.cov(x.transpose(0, 1).flatten(1).double().numpy(), bias=True))[::-1]
    distortion = Distortion.of(Components.of(SideStatistics.of(x)), x, (4, 32))
    numpy.testing.assert_allclose(distortion.weights, values / values.sum(), rtol=1e-5)
    assert distortion(8, 4) == pytest.approx(distortion.quantisation[4])


def test_a_map_that_is_stored_as_it_is_has_the_error_of_its_quantiser(
    network: TracedNetwork, stats: dict[str, MapStatistics]
) -> None:
    fmap = network.maps[1]
    after = stats[fmap.name].after
    errors = plain_errors(fmap, stats[fmap.name], (2, 8, 32))
    values = after.sample.double().numpy()
    clip = UniformQuantizer.calibrated(2, after.sample, nonnegative=fmap.nonnegative)
    low, high = float(clip.low), float(clip.high.detach())
    step = (high - low) / 3
    rounded = numpy.rint((values.clip(low, high) - low) / step) * step + low
    variance = numpy.var(values.transpose(1, 0, 2, 3).reshape(fmap.channels, -1), axis=1).mean()
    assert errors[2] == pytest.approx(((rounded - values) ** 2).mean() / variance, rel=1e-3)
    assert errors[2] > errors[8] > errors[32] == 0


def test_a_map_without_variance_is_stored_without_error(network: TracedNetwork) -> None:
    fmap = network.maps[1]
    constant = SideStatistics.of(torch.full((2, fmap.channels, fmap.height, fmap.width), 3.0))
    assert plain_errors(fmap, MapStatistics(constant, constant), (2, 8)) == {2: 0, 8: 0}


def test_a_whole_map_in_narrow_codes_is_taken_where_all_components_matter(network: TracedNetwork) -> None:
    """White noise behind a rectifier, half of it zero: fewer components lose much of it, narrow codes little."""
    generator = torch.Generator().manual_seed(4)
    white = {}
    for fmap in network.maps:
        x = torch.randn(16, fmap.channels, *fmap.source, generator=generator)
        white[fmap.name] = MapStatistics(
            SideStatistics.of(x), SideStatistics.of(x[..., : fmap.height, : fmap.width].relu())
        )
    budget = Budget(Ceiling.parse("traffic:10x"), Bits.parse("w8a2-8"))
    plan = GreedyProjection({"metric": "error", "widths": "planned"}).plan(network, white, budget)
    widths = [codec.describe()["bits"] for codec in plan.codecs.values() if isinstance(codec, PlainCodec)]
    assert len(widths) > len(network.maps) / 2
    assert set(widths) <= {2, 3, 4, 5}
