"""Settings that recovery learns: rounding against exhaustive search, ceilings, dropped parts, and the folded form."""

import copy
import itertools
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from actbench.budget import Bits, Budget, Ceiling
from actbench.codec import Allowance, Codec, FeatureMap, MapStatistics, Method, UniformQuantizer
from actbench.codec.learned_widths import InterpolatedQuantizer
from actbench.codec.packing import layout, pack, unpack
from actbench.codec.principal_components import Components
from actbench.network.calibration import collect
from actbench.network.deploy import deploy
from actbench.network.splice import splice
from actbench.network.trace import trace
from actbench.recipe import Recipe
from actbench.recovery.train import recover
from actbench.workloads.base import ImageSet, Workload, WorkloadSettings
from actbench.workloads.zoo.residual import ResidualNetwork
from actbench_plugins.greedy.codec import ComponentCodec
from actbench_plugins.greedy.learned import LearnedComponentCodec
from actbench_plugins.greedy.method import GreedyProjection
from actbench_plugins.mixed_precision.learned import LearnedGroupCodec
from actbench_plugins.mixed_precision.method import MixedPrecision

WIDTHS = (8, 7, 6, 5, 4, 3, 2)
POSITIONS = 36


def correlated(images: int = 4, channels: int = 8) -> Tensor:
    """Channels that are mixtures of a few, with means."""
    generator = torch.Generator().manual_seed(3)
    mixing = torch.randn(channels, channels, generator=generator) * 0.8 ** torch.arange(channels)
    noise = torch.randn(images, channels, 6, 6, generator=generator)
    return torch.einsum("cd,ndhw->nchw", mixing, noise) + torch.arange(channels)[:, None, None]


def groups(bits: int = POSITIONS * 30, widths: tuple[int, ...] = WIDTHS) -> LearnedGroupCodec:
    """Four groups of two components."""
    fmap = FeatureMap("map", 8, 3, 3, "producer", (), source=(6, 6))
    method = MixedPrecision({"groups": 4, "widths": "learned"})
    codec = method.codec(fmap, MapStatistics.of(correlated()), Allowance(bits, widths))
    assert isinstance(codec, LearnedGroupCodec)
    return codec


def components(rank: int = 6, width: int = 3, spare: int = 0) -> LearnedComponentCodec:
    x = correlated()
    leading = Components.of(MapStatistics.of(x).before).only(slice(rank))
    planned = ComponentCodec(leading, UniformQuantizer.calibrated(width, leading.of_images(x)))
    return LearnedComponentCodec(planned, Allowance(POSITIONS * rank * width + spare, WIDTHS), POSITIONS)


def move(quantizer: nn.Module, width: float) -> None:
    assert isinstance(quantizer, InterpolatedQuantizer)
    (gain,) = torch.autograd.grad(quantizer.width, quantizer.shift)
    with torch.no_grad():
        quantizer.shift += (width - quantizer.width) / gain


def learned_groups(widths: list[float]) -> LearnedGroupCodec:
    codec = groups()
    codec.approach(0)
    for quantizer, width in zip(codec.core.quantizers, widths, strict=True):
        move(quantizer, width)
    codec.approach(0.5)
    return codec


def learned_components(part: float, width: float, spare: int = 0) -> LearnedComponentCodec:
    codec = components(spare=spare)
    codec.approach(0)
    assert codec.learned is not None
    with torch.no_grad():
        codec.learned.part.fill_(part)
    move(codec.learned.quantizer, width)
    codec.approach(0.5)
    return codec


def bits(codec: Codec, x: Tensor) -> int:
    return int(codec.encode(x).bits_per_image()[0])


@pytest.mark.parametrize("make", [groups, components])
def test_it_starts_as_planned_and_what_learned_nothing_ends_so(make: Callable[[], Codec]) -> None:
    x, codec, planned = correlated(), make(), make()
    assert {name for name, _ in codec.named_parameters()} == {name for name, _ in planned.named_parameters()}
    codec.approach(0)
    torch.testing.assert_close(codec(x), planned(x), rtol=1e-4, atol=1e-4)
    kept = dict(codec.named_parameters())
    codec.approach(1)
    assert torch.equal(codec(x), planned(x))
    assert codec.describe() == planned.describe()
    identities = {id(parameter) for parameter in kept.values()}
    assert all(id(parameter) in identities for parameter in codec.parameters()), "the optimiser has these"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1, 9), min_size=4, max_size=4))
def test_groups_get_the_widths_that_fit_and_lose_least(widths: list[float]) -> None:
    codec = learned_groups(widths)
    learned = [float(quantizer.width.detach()) for quantizer in codec.core.quantizers]
    codec.approach(1)
    most = codec.allowance.bits // POSITIONS

    def lost(chosen: tuple[int, ...]) -> float:
        return sum(2 * 4.0 ** (b - w) for w, b in zip(chosen, learned, strict=True))

    possible = itertools.product(WIDTHS, *[(0, *WIDTHS)] * 3)
    best = min(lost(chosen) for chosen in possible if sum(2 * w for w in chosen) <= most)
    assert lost(tuple(codec.core.widths)) == pytest.approx(best)
    x = correlated()
    assert bits(codec, x) == POSITIONS * 2 * sum(codec.core.widths) <= codec.allowance.bits


@settings(max_examples=60, deadline=None)
@given(st.floats(-0.5, 1.5), st.floats(1, 9), st.integers(0, 500))
def test_components_are_rounded_to_the_nearest_setting_that_fits(part: float, width: float, spare: int) -> None:
    codec = learned_components(part, width, spare)
    assert codec.learned is not None
    r, b = float(codec.learned.rank.detach()), float(codec.learned.quantizer.width.detach())
    codec.approach(1)
    described = codec.describe()
    chosen = (int(described["rank"]), int(described["bits"]))
    most = codec.allowance.bits // POSITIONS
    fitting = {(k, w) for k in range(1, 7) for w in WIDTHS if k * w <= most}
    full = [(k, w) for k, w in fitting if (k + 1, w) not in fitting and (k, w + 1) not in fitting]
    best = min((k / r - 1) ** 2 + (w / b - 1) ** 2 for k, w in full)
    assert chosen in full, "no room for another component, or for another bit"
    assert (chosen[0] / r - 1) ** 2 + (chosen[1] / b - 1) ** 2 == pytest.approx(best, abs=1e-6)
    assert bits(codec, correlated()) == POSITIONS * chosen[0] * chosen[1] <= codec.allowance.bits


def test_a_dropped_group_is_read_as_zero() -> None:
    x, codec = correlated(), learned_groups([7, 5, 0, 3])
    codec.approach(1)
    assert (codec.core.widths, codec.describe()["groups"]) == ([7, 5, 0, 3], "2x7 2x5 2x3")
    assert list(codec.encode(x)) == ["group0", "group1", "group3"]
    read, given = codec.read(x).split(2, 1), codec.project(x).split(2, 1)
    assert torch.equal(read[2], torch.zeros_like(read[2]))
    for number in (0, 1, 3):
        torch.testing.assert_close(read[number], codec.core.quantizers[number](given[number]))


def test_a_rank_between_two_has_a_part_of_the_last_component() -> None:
    x, codec, planned = correlated(), learned_components(4.25 / 6, 3), components()
    z = codec.encode(x)["values"]
    torch.testing.assert_close(
        z, planned.read(x) * torch.tensor([1, 1, 1, 1, 0.25, 0])[:, None, None], rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize("clips", [False, True])
@pytest.mark.parametrize("make", [lambda: learned_groups([7, 5, 0, 3]), lambda: learned_components(0.5, 4)])
def test_what_was_dropped_is_gone_in_the_folded_form(make: Callable[[], Codec], clips: bool) -> None:
    x, codec = correlated(), make()
    codec.approach(1)
    if clips:
        codec.clip_channels(x)  # type: ignore[attr-defined]
    folded = codec.fold()
    assert folded is not None
    assert folded.project is not None
    stored = folded.core.encode(folded.project(x))
    torch.testing.assert_close(folded.core.decode(stored), codec(x))
    assert stored.bits_per_image().tolist() == codec.encode(x).bits_per_image().tolist()
    assert folded.project.out_channels == codec.describe()["rank"] < 8
    assert torch.equal(folded.core.decode(unpack(pack(stored), layout(stored))), folded.core.decode(stored))


def test_the_price_is_of_what_is_learned() -> None:
    codec, other = learned_groups([8, 8, 2.5, 0]), learned_components(1, 4.5)
    wanted = POSITIONS * 2 * 18.5 / codec.allowance.bits - 1
    assert float(codec.price().detach()) == pytest.approx(wanted)
    assert float(other.price().detach()) == pytest.approx(4.5 / 3 - 1)
    codec.price().backward()
    other.price().backward()
    assert other.learned is not None
    trained = [*(quantizer.shift for quantizer in codec._learned()), other.learned.quantizer.shift, other.learned.part]
    assert all(parameter.grad is not None and float(parameter.grad) > 0 for parameter in trained)
    for each in (codec, other):
        each.approach(1)
        assert float(each.price()) == 0, "what is rounded fits"


@pytest.mark.parametrize("widths", [(8,), (32,)])
def test_where_there_is_one_width_ranks_of_groups_are_learned_or_nothing(widths: tuple[int, ...]) -> None:
    codec = groups(POSITIONS * 6 * widths[0], widths)
    codec.approach(0)
    assert len(codec._learned()) == (2 if widths == (8,) else 0), "all but the first"
    codec.approach(1)
    assert codec.core.widths == [widths[0]] * 3


class Noise(Workload):
    """Which of ten classes random images belong to."""

    input_shape = (3, 16, 16)

    def model(self) -> nn.Module:
        torch.manual_seed(0)
        return ResidualNetwork()

    def training_set(self) -> ImageSet:
        generator = torch.Generator().manual_seed(5)
        pixels = torch.randint(0, 256, (64, 3, 16, 16), generator=generator, dtype=torch.uint8)
        return ImageSet(pixels, torch.arange(64) % 10, (0.5,) * 3, (0.25,) * 3)

    calibration_set = evaluation_set = training_set


METHODS = (
    MixedPrecision({"groups": 4, "widths": "learned"}),
    GreedyProjection({"metric": "error", "widths": "learned"}),
)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("ceiling", ["10x", "traffic:12x"])
def test_recovery_learns_and_the_ceiling_holds(method: Method, ceiling: str) -> None:
    workload = Noise(WorkloadSettings())
    network, images = trace(workload.model(), workload.input_shape), workload.training_set().images(slice(0, 16))
    budget = Budget(Ceiling.parse(ceiling), Bits.parse("w8a2-8"))
    plan = method.plan(network, collect(network, images), budget)
    learning = {
        name: codec
        for name, codec in plan.codecs.items()
        if isinstance(codec, LearnedGroupCodec | LearnedComponentCodec)
    }
    assert learning
    before = {name: codec.describe() for name, codec in learning.items()}
    spliced = splice(network, plan.codecs)
    recipe = method.recipe("protocol")
    assert recipe == Recipe(gradual=True)
    recover(
        spliced,
        network,
        workload,
        24,
        0,
        torch.device("cpu"),
        recipe=Recipe(gradual=True, learning_rate=0.3, gradient_norm=20),
    )
    assert {name: codec.describe() for name, codec in learning.items()} != before
    assert spliced.module(images).requires_grad
    stored: dict[str, int] = {}
    deployed = deploy(spliced, 8, images[:1])
    for name, encoder in deployed.encoders().items():
        encoder.observer = lambda _, payload, name=name: stored.__setitem__(name, int(payload.bits_per_image()[0]))
    with torch.no_grad():
        deployed.module(images)
    counted = (max if budget.ceiling.kind == "peak" else sum)(stored.values())
    assert counted <= budget.ceiling.limit(network.maps)
    assert not any(isinstance(part, InterpolatedQuantizer) for part in spliced.module.modules())


@pytest.mark.parametrize("make", [lambda: learned_groups([6, 4, 0.5, 3]), lambda: learned_components(0.7, 3.5)])
def test_gradients_reach_everything_while_it_is_learned(make: Callable[[], Codec]) -> None:
    codec = make()
    codec(correlated()).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in codec.parameters())
    copy.deepcopy(codec)
