"""ProChan against its definition: bits, identity at full rank, selection, least squares, gradients and folding."""

from dataclasses import replace
from itertools import combinations, pairwise, product

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from actbench.budget import Bits, Budget, Ceiling
from actbench.codec import Codec, PlainCodec, UniformQuantizer, fit_decoder, reader_error
from actbench.codec.modules import build_all
from actbench.errors import Unsupported
from actbench.feature_map import FeatureMap, Operation, Reader
from actbench.harness.network_view import PlanningNetwork
from actbench.measure.footprint import Meter, check_payloads
from actbench.network.calibration import Statistics
from actbench.network.deploy import deploy
from actbench.network.fold import Pointwise
from actbench.network.splice import splice
from actbench.network.trace import TracedNetwork, trace
from actbench.recipe import PROTOCOL_RECIPE, Recipe
from actbench.workloads.base import ImageSet, Workload, WorkloadSettings
from actbench_plugins.prochan.codec import ProChanCodec
from actbench_plugins.prochan.importance import importance
from actbench_plugins.prochan.method import ProChan
from actbench_plugins.prochan.start import selection_order

SIZE = (3, 16, 16)
RELU, POOL = Operation("relu"), Operation("max_pool2d", (("kernel_size", 2), ("stride", 2)))


class Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(x + self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))))


@pytest.fixture(scope="module")
def network() -> TracedNetwork:
    """Maps of 16×8×8: pooled, inside a block, behind an addition; read by a skip, a depthwise and a 1×1 convolution."""
    torch.manual_seed(2)
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), Block(16)]
    layers += [nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.ReLU6(), nn.Conv2d(16, 4, 1)]
    return trace(nn.Sequential(*layers), SIZE)


class Smooth(Workload):
    """Smooth images, so that channels of feature maps have much in common; the network of the tests."""

    def model(self) -> nn.Module:
        raise NotImplementedError

    def calibration_set(self) -> ImageSet:
        small = torch.rand(12, 3, 5, 5, generator=torch.Generator().manual_seed(1))
        pixels = (255 * nn.functional.interpolate(small, SIZE[1:], mode="bilinear")).to(torch.uint8)
        return ImageSet(pixels, torch.arange(12) % 4, (0.5,) * 3, (0.2,) * 3)

    training_set = evaluation_set = calibration_set


WORKLOAD = Smooth(WorkloadSettings())


def images(count: int) -> Tensor:
    return WORKLOAD.calibration_set().images(slice(0, count))


@pytest.fixture(scope="module")
def statistics(network: TracedNetwork) -> Statistics:
    return Statistics(network, images(12))


def method_options(**options: str) -> dict[str, str]:
    defaults = {"insertion": "together", "trained": "everything", "loss": "task", "normalisation": "frozen"}
    return {"start": "selection", **defaults, **options}


def planned(
    network: TracedNetwork, statistics: Statistics, ceiling: str, bits: str, start: str = "selection"
) -> dict[str, Codec]:
    budget = Budget(Ceiling.parse(ceiling), Bits.parse(bits))
    seen = PlanningNetwork(network, WORKLOAD, WORKLOAD.calibration_set(), torch.device("cpu"))
    return dict(ProChan(method_options(start=start)).plan(seen, statistics, budget).codecs)


def feature_map(channels: int, size: int = 8, *, between: tuple[Operation, ...] = (RELU,)) -> FeatureMap:
    height = size // 2 if POOL in between else size
    return FeatureMap("map", channels, height, height, "producer", (), between, (size, size))


def correlated(channels: int, sources: int, positions: int = 400, seed: int = 0) -> Tensor:
    """(channels, positions) fp64 of a few sources, mixed, with a little noise."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(channels, sources, generator=generator, dtype=torch.float64)
    noise = torch.randn(channels, positions, generator=generator, dtype=torch.float64)
    return mixing @ torch.randn(sources, positions, generator=generator, dtype=torch.float64) + 0.1 * noise


def left_over(gram: Tensor, weights: Tensor, chosen: list[int]) -> float:
    """tr(M R), R the part of the Gram matrix that the chosen channels do not explain."""
    block = gram[chosen]
    residual = gram - block.T @ torch.linalg.solve(block[:, chosen], block)
    return float((weights * residual).sum())


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
@pytest.mark.parametrize("between", [(), (RELU,), (RELU, POOL), (Operation("hardswish"),)])
def test_full_rank_without_quantisation_is_the_identity(
    between: tuple[Operation, ...], dtype: torch.dtype, tolerance: float
) -> None:
    """Selection commutes with nonlinearity and pooling, and least squares finds the identity."""
    z = torch.randn(5, 7, 8, 8, dtype=dtype)
    x = build_all(between)(z)
    columns = x.transpose(0, 1).flatten(1).double()
    channels = selection_order(columns @ columns.T, torch.eye(7, dtype=torch.float64), 7)
    assert sorted(channels) == list(range(7))
    codec = ProChanCodec(feature_map(7, between=between), torch.eye(7), torch.eye(7), None).to(dtype)
    fit_decoder(codec.decoder, codec.read(z), x)
    with torch.no_grad():
        assert float((codec(z) - x).abs().max()) < tolerance


@pytest.mark.parametrize("width", [1, 3, 8, 32])
@pytest.mark.parametrize("between", [(RELU,), (RELU, POOL)])
def test_bits_are_rank_times_positions_times_width(width: int, between: tuple[Operation, ...]) -> None:
    quantizer = None if width == 32 else UniformQuantizer(width, 0, 1, nonnegative=True)
    fmap = feature_map(6, between=between)
    codec = ProChanCodec(fmap, torch.randn(2, 6), torch.randn(6, 2), quantizer)
    payload = codec.encode(torch.randn(3, 6, 8, 8))
    assert payload.bits_per_image().tolist() == [2 * fmap.positions * width] * 3
    assert codec.decode(payload).shape == (3, 6, fmap.height, fmap.width)
    assert codec.describe() == {"rank": 2, "bits": width}


@pytest.mark.parametrize("ceiling", ["1.5x", "4x", "16x", "traffic:5x"])
@pytest.mark.parametrize("bits", ["w32a32", "w8a4", "w8a2-8"])
def test_every_map_stays_within_its_allowance_and_leaves_no_channel_unused(
    network: TracedNetwork, statistics: Statistics, ceiling: str, bits: str
) -> None:
    budget = Budget(Ceiling.parse(ceiling), Bits.parse(bits))
    spliced = splice(network, planned(network, statistics, ceiling, bits))
    check_payloads(spliced, images(4), images(8)[4:])
    with Meter(spliced) as meter, torch.no_grad():
        spliced.module(images(2))
    total = 0
    for fmap in network.maps:
        allowance, codec = budget.allowance(fmap, network.maps), spliced.codecs()[fmap.name]
        (stored,) = set(meter.bits(fmap).tolist())
        total += stored
        assert stored <= allowance.bits
        if isinstance(codec, ProChanCodec):
            rank, width = (int(codec.describe()[key]) for key in ("rank", "bits"))
            assert width in allowance.widths
            assert rank == fmap.channels or stored + fmap.positions * width > allowance.bits
    if budget.ceiling.kind == "traffic":
        assert total <= budget.ceiling.limit(network.maps)


def test_a_ceiling_below_one_channel_is_unsupported_with_figures(
    network: TracedNetwork, statistics: Statistics
) -> None:
    """16·8·8·32 / 200 = 163 bits; one channel at 8 bits needs 512."""
    with pytest.raises(Unsupported, match=r"^3\.conv1: one channel needs 512 bits; 163 are allowed$"):
        planned(network, statistics, "200x", "w8a8")
    with pytest.raises(Unsupported, match="one channel needs 192 bits; 163 are allowed"):
        planned(network, statistics, "200x", "w8a3-8")


def test_a_larger_allowance_leaves_no_larger_error(network: TracedNetwork, statistics: Statistics) -> None:
    """Of the first map, which no other codec reaches, behind the layers that read it."""
    fmap = network.maps[0]
    sample, errors = statistics[fmap.name], []
    for factor in (3, 4, 6, 8, 12, 16, 24, 32):
        codec = planned(network, statistics, f"{factor}x", "w8a2-8")[fmap.name]
        side = sample.after if isinstance(codec, PlainCodec) else sample.before
        with torch.no_grad():
            errors.append(reader_error(fmap, network.readers(fmap), sample.after.sample, codec(side.sample)))
    assert all(loose <= tight * 1.01 for loose, tight in pairwise(errors)), errors
    assert errors[-1] > 5 * errors[0]


def test_deployed_equals_spliced_and_is_narrower(network: TracedNetwork, statistics: Statistics) -> None:
    codecs = planned(network, statistics, "4x", "w32a32")
    spliced = splice(network, codecs)
    deployed = deploy(spliced, 32, images(1))
    with torch.no_grad():
        expected = spliced.module(images(5))
        torch.testing.assert_close(deployed.module(images(5)), expected, rtol=1e-5, atol=1e-5)
    convolutions = [module for module in deployed.module.modules() if isinstance(module, nn.Conv2d)]
    layers = [layer for layer in convolutions if not isinstance(layer, Pointwise)]
    assert [(layer.in_channels, layer.out_channels, layer.groups) for layer in layers] == [
        (3, 4, 1),
        (4, 4, 1),
        (4, 4, 1),
        (16, 16, 16),
        (4, 4, 1),
    ]
    kept = {(layer.in_channels, layer.out_channels) for layer in convolutions if isinstance(layer, Pointwise)}
    assert kept == {(4, 4), (4, 16), (16, 4)}  # the skip, and both sides of the depthwise convolution


@pytest.mark.parametrize("width", [4, 32])
def test_gradients_reach_both_ends_and_the_clip(width: int) -> None:
    quantizer = None if width == 32 else UniformQuantizer(width, 0, 0.5, nonnegative=True)
    codec = ProChanCodec(feature_map(6), torch.randn(3, 6), torch.randn(6, 3), quantizer)
    x = torch.randn(2, 6, 8, 8, requires_grad=True)
    codec(x).square().sum().backward()
    named = dict(codec.named_parameters()) | {"input": x}
    assert len(named) == (4 if width == 32 else 5)
    assert {name for name, value in named.items() if value.grad is None or not value.grad.abs().sum() > 0} == set()


def test_training_lowers_the_error_of_a_quantised_codec(network: TracedNetwork, statistics: Statistics) -> None:
    fmap = network.maps[1]
    codec = planned(network, statistics, "32x", "w8a2-8", start="default")[fmap.name]
    before, after = statistics[fmap.name].before.sample, statistics[fmap.name].after.sample
    optimizer = torch.optim.Adam(codec.parameters(), 3e-3)
    errors = []
    for _ in range(60):
        error = (codec(before) - after).square().mean()
        errors.append(float(error.detach()))
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
    assert errors[-1] < 0.95 * errors[0]


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 7), st.data())
def test_one_channel_is_the_best_one(channels: int, data: st.DataObject) -> None:
    x = correlated(channels, 3, seed=data.draw(st.integers(0, 10**6)))
    layer = nn.Conv2d(channels, 5, 3)
    weights = importance(feature_map(channels), [layer])
    gram = x @ x.T
    best = min(range(channels), key=lambda channel: left_over(gram, weights, [channel]))
    assert selection_order(gram, weights, 1) == [best]


@pytest.mark.parametrize(("out", "groups"), [(4, 1), (12, 1), (6, 2), (8, 8)])
def test_what_a_transposed_convolution_makes_of_an_error(out: int, groups: int) -> None:
    """Exactly, where its windows do not overlap."""
    layer = nn.ConvTranspose2d(8, out, 2, 2, bias=False, groups=groups).double()
    error = torch.randn(3, 8, 5, 5, dtype=torch.float64)
    weights = importance(replace(feature_map(8), readers=(Reader("up", "conv_transpose"),)), [layer])
    with torch.no_grad():
        behind = float(layer(error).square().sum())
    assert float(torch.einsum("ncij,cd,ndij->", error, weights, error)) == pytest.approx(behind)


def test_a_map_that_a_transposed_convolution_reads_is_planned_for_it() -> None:
    """Two of the eight channels are all that it reads: to keep others would be an error behind it."""
    torch.manual_seed(0)
    up = nn.ConvTranspose2d(8, 3, 2, 2)
    up.weight.data[:6] = 0
    network = trace(nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), up), SIZE)
    assert network.readers(network.maps[0]) == [dict(network.module.named_modules())["2"]]
    (codec,) = planned(network, Statistics(network, images(12)), "16x", "w8a8").values()
    assert isinstance(codec, ProChanCodec)
    assert codec.project.weight[:, :, 0, 0].argmax(1).tolist() == [6, 7]


def test_slopes_of_channels_stand_for_no_projected_ones() -> None:
    slopes = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.PReLU(8), nn.Conv2d(8, 3, 1))
    one_slope = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.PReLU(), nn.Conv2d(8, 3, 1))
    for model, supported in ((slopes, False), (one_slope, True)):
        network = trace(model, SIZE)
        statistics = Statistics(network, images(12))
        if not supported:
            with pytest.raises(Unsupported, match="slopes for each channel"):
                planned(network, statistics, "16x", "w8a8")
            continue
        spliced = splice(network, planned(network, statistics, "16x", "w32a8"))
        with torch.no_grad():
            expected = spliced.module(images(5))
            torch.testing.assert_close(deploy(spliced, 32, images(1)).module(images(5)), expected)


@settings(max_examples=20, deadline=None)
@given(st.integers(3, 8), st.integers(1, 3), st.integers(0, 10**6))
def test_copies_are_dropped_as_by_brute_force(channels: int, count: int, seed: int) -> None:
    """Orthogonal sources, each in several channels: one of each is the best there is, and greedy finds it."""
    assume(count < channels)
    scales = torch.tensor([4.0, 2.0, 1.0], dtype=torch.float64)[:count]
    basis = torch.linalg.qr(torch.randn(50, count, generator=torch.Generator().manual_seed(seed)).double()).Q.T
    x = (basis * scales[:, None])[torch.arange(channels) % count]
    gram, weights = x @ x.T, torch.eye(channels, dtype=torch.float64)
    chosen = selection_order(gram, weights, count)
    assert {channel % count for channel in chosen} == set(range(count))


def test_selection_is_close_to_brute_force() -> None:
    """On maps of eight channels that are mixtures of three sources; as a mean over maps and numbers of channels."""
    weights, ratios = torch.eye(8, dtype=torch.float64), []
    for seed, count in product(range(10), (1, 2, 3, 4)):
        x = correlated(8, 3, seed=seed).relu()
        greedy = left_over(x @ x.T, weights, selection_order(x @ x.T, weights, count))
        best = min(left_over(x @ x.T, weights, list(chosen)) for chosen in combinations(range(8), count))
        assert greedy >= best * (1 - 1e-9)
        ratios.append(greedy / best)
    assert sum(ratios) / len(ratios) < 1.25


def test_selection_beats_the_first_channels() -> None:
    weights, gains = torch.eye(8, dtype=torch.float64), []
    for seed, count in product(range(25), (2, 3, 4)):
        x = correlated(8, 3, seed=seed).relu()
        greedy = left_over(x @ x.T, weights, selection_order(x @ x.T, weights, count))
        gains.append(left_over(x @ x.T, weights, list(range(count))) / greedy)
    assert min(gains) > 0.9
    assert sum(gains) / len(gains) > 1.2


@pytest.mark.parametrize("start", ["pca", "orthonormal", "default"])
def test_other_starts_keep_the_budget_and_a_selection_beats_them(
    network: TracedNetwork, statistics: Statistics, start: str
) -> None:
    fmap = network.maps[0]
    source, target = statistics[fmap.name].before.sample, statistics[fmap.name].after.sample
    errors = []
    for name in ("selection", start):
        codec = planned(network, statistics, "4x", "w32a32", name)[fmap.name]
        assert codec.describe() == {"rank": 4, "bits": 32}
        with torch.no_grad():
            errors.append(float((codec(source) - target).square().sum()))
    assert errors[0] < errors[1]


def test_selection_with_dead_channels() -> None:
    """Channels that are always zero come last, and do no harm."""
    x = correlated(6, 2)
    x[[1, 4]] = 0
    weights = torch.eye(6, dtype=torch.float64)
    assert sorted(selection_order(x @ x.T, weights, 4)) == [0, 2, 3, 5]


def test_strategies_change_the_protocols_recipe_and_nothing_else() -> None:
    assert ProChan(method_options()).recipe("protocol") == PROTOCOL_RECIPE
    chosen = method_options(insertion="sequential", trained="projections", loss="layers", normalisation="adapting")
    expected = Recipe(insertion="sequential", trained="codecs", loss="layers", batch_statistics="adapting")
    assert ProChan(chosen).recipe("protocol") == expected
