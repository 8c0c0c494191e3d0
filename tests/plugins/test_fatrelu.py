"""FATReLU: thresholds, the formula of its bits, and that no image goes over the allowance."""

import copy

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from actbench import UserError
from actbench.budget import Bits, Budget, Ceiling
from actbench.codec import Allowance, Codec, MapStatistics, Penalised, PlainCodec, UniformQuantizer, Unsupported
from actbench.codec.packing import layout, pack, unpack
from actbench.codec.rate_control import Ladder, stream_allowance
from actbench.feature_map import FeatureMap, Operation
from actbench.network.splice import splice
from actbench.recipe import PROTOCOL_RECIPE, Recipe
from actbench.recovery.train import recover
from actbench.testing.subject import Subject
from actbench_plugins.fatrelu.method import ThresholdedCoding, ThresholdedMap, least_threshold
from tests.codec.gradients import gradient_of
from tests.codec.stripes import assert_rows_give_the_whole, ladders, stripe_heights

WIDTHS = (8, 7, 6, 5, 4, 3, 2)


def feature_map(channels: int = 8, height: int = 8, width: int = 8, *, relu: bool = True) -> FeatureMap:
    between = (Operation("relu"),) if relu else ()
    return FeatureMap("map", channels, height, width, "producer", (), between, source=(height, width))


def heavy_tailed(count: int, seed: int = 0, shape: tuple[int, ...] = (8, 8, 8)) -> torch.Tensor:
    """Many small values and few large ones."""
    return (torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed)) - 0.5).relu().pow(3)


def planned(x: torch.Tensor, bits: int) -> Codec:
    return ThresholdedCoding({}).codec(feature_map(*x.shape[1:]), MapStatistics.of(x), Allowance(bits, WIDTHS))


def thresholded(threshold: float, width: int = 4, high: float = 15.0) -> ThresholdedMap:
    quantizer = UniformQuantizer(width, 0.0, high, nonnegative=True)
    return ThresholdedMap(FeatureMap("map", 1, 1, 6, "producer", ()), threshold, quantizer)


def test_values_below_the_threshold_are_zero_and_cost_one_bit() -> None:
    x = torch.tensor([0.0, 1.0, 2.9, 3.0, 7.0, 20.0]).reshape(1, 1, 1, 6)
    coded = thresholded(3.0)
    stream = coded.encode(x)
    assert "".join(map(str, stream.bits.tolist())) == "000111" + "0011" + "0111" + "1111"
    assert coded.lengths(x).tolist() == stream.lengths.tolist() == [6 + 4 * 3]
    assert coded.decode(stream, 1).flatten().tolist() == [0, 0, 0, 3, 7, 15]
    assert thresholded(0.0).lengths(x).tolist() == [6 + 4 * 5]


@given(st.lists(st.lists(st.integers(0, 9), min_size=6, max_size=6), min_size=1, max_size=4), st.integers(0, 7))
def test_the_threshold_is_the_least_one(rows: list[list[int]], most: int) -> None:
    ordered = torch.tensor(rows, dtype=torch.float32).sort(1, descending=True).values
    threshold = least_threshold(ordered, most)

    def counts(value: float) -> int:
        return int(((ordered >= value) & (ordered > 0)).sum(1).max())

    assert counts(threshold) <= most
    assert threshold == 0 or counts(threshold - 1e-5) > most


def test_no_image_goes_over_and_payloads_decode_alone() -> None:
    x, bits = heavy_tailed(40), 1100
    codec = planned(x, bits)
    assert isinstance(codec, Ladder)
    assert codec.describe()["threshold"] > 0
    assert not codec.fallbacks(codec.encode(x)).any()
    noise = torch.cat([heavy_tailed(2, 1), 2 * torch.rand(3, 8, 8, 8), torch.full((1, 8, 8, 8), 99.0)])
    payload = codec.encode(noise)
    assert int(payload.bits_per_image().max()) <= bits
    assert codec.fallbacks(payload)[2:].all()
    decoded = copy.deepcopy(codec).decode(unpack(pack(payload), layout(payload)))
    assert torch.equal(decoded, codec.decode(payload))
    assert decoded.shape == noise.shape


def test_images_that_do_not_fit_take_a_higher_threshold_first() -> None:
    x = heavy_tailed(40)
    codec = planned(x, 1100)
    assert isinstance(codec, Ladder)
    thresholds = [float(rung.threshold) for rung in codec.rungs if isinstance(rung, ThresholdedMap)]
    assert thresholds == sorted(thresholds)
    assert len(set(thresholds)) > 2
    # A few more large values than in calibration: not yet an image for the pooled map at the end.
    busier = heavy_tailed(6, seed=2) + 0.4 * (torch.rand(6, 8, 8, 8) < 0.15)
    taken = codec.encode(busier)["rung"][:, 0]
    assert int(taken.max()) < len(codec.rungs) - 1


def test_threshold_and_width_are_the_pair_with_the_least_error() -> None:
    x = heavy_tailed(32)
    codec = planned(x, 1100)
    assert isinstance(codec, Ladder)
    error = float((codec(x) - x).square().sum())
    method, stats, fmap = ThresholdedCoding({}), MapStatistics.of(x), feature_map()
    families = method.families(fmap, stats, Allowance(stream_allowance(1100, 32, 8), WIDTHS))
    finest = [family[0] for family in families if family]
    errors = [float((rung.decode(rung.encode(x), 8) - x).detach().square().sum()) for rung in finest]
    assert len(errors) == len(WIDTHS)
    assert error == pytest.approx(min(errors), rel=1e-4)


def test_error_does_not_grow_with_the_allowance() -> None:
    x = heavy_tailed(16)
    errors = [float((planned(x, bits)(x) - x).detach().square().sum()) for bits in (900, 1100, 1500, 2100)]
    assert errors == sorted(errors, reverse=True)


def test_maps_with_negative_values() -> None:
    x = torch.randn(4, 8, 8, 8)
    method = ThresholdedCoding({})
    plain = method.codec(feature_map(relu=False), MapStatistics.of(x), Allowance(512 * 3, WIDTHS))
    assert isinstance(plain, PlainCodec)
    with pytest.raises(Unsupported, match="negative values"):
        method.codec(feature_map(relu=False), MapStatistics.of(x), Allowance(512, WIDTHS))


def test_unsupported_where_the_bit_map_does_not_fit() -> None:
    with pytest.raises(Unsupported, match="0% of the calibration images"):
        planned(heavy_tailed(4), 500)


def test_gradients_pass_what_the_threshold_of_the_rung_keeps() -> None:
    x = torch.tensor([[0.0, 1.0, 2.9, 3.0, 7.0, 20.0], [4.0, 8.0, 6.0, 5.0, 7.0, 20.0]]).reshape(2, 1, 1, 6)
    ladder = Ladder([thresholded(3.0), thresholded(6.0)], 6 + 4 * 4 + 1 + 32, 1)
    weights = torch.arange(1.0, 13.0).reshape(2, 1, 1, 6)
    expected = [[0.0, 0.0, 0.0, 4.0, 5.0, 0.0], [0.0, 8.0, 9.0, 0.0, 11.0, 0.0]]
    assert gradient_of(ladder, x, weights).reshape(2, 6).tolist() == expected
    high = [rung.quantizer.high.grad for rung in ladder.rungs if isinstance(rung, ThresholdedMap)]
    assert high == [torch.tensor(6.0), torch.tensor(12.0)]


def test_the_hoyer_regulariser_counts_values_that_are_alike() -> None:
    """Against the formula in fp64, and its gradient `2·S/Q·(1 − x·S/Q)` with S = Σx and Q = Σx²."""
    codec = planned(heavy_tailed(8), 1100)
    assert isinstance(codec, Penalised)
    one, alike = torch.zeros(1, 8, 8, 8), torch.full((1, 8, 8, 8), 3.0)
    one[0, 3, 2, 1] = 7.0
    assert [float(codec.penalty(x)) for x in (one, alike, 0 * one)] == pytest.approx([1, 512, 0])
    x = heavy_tailed(3, 1).requires_grad_()
    penalty = codec.penalty(x)
    penalty.backward()
    values = x.detach().double().flatten(1).numpy()
    sums, squares = values.sum(1, keepdims=True), (values**2).sum(1, keepdims=True)
    assert penalty.item() == pytest.approx((sums**2 / squares).mean(), rel=1e-5)
    expected = 2 * sums / squares * (1 - values * sums / squares) / 3
    assert x.grad is not None
    positive = values > 0
    numpy.testing.assert_allclose(x.grad.flatten(1).numpy()[positive], expected[positive], rtol=1e-4, atol=1e-5)


def test_the_weight_of_the_regulariser_is_the_recipes() -> None:
    assert ThresholdedCoding({"hoyer": 0.0}).recipe("protocol") == PROTOCOL_RECIPE
    assert ThresholdedCoding({"hoyer": 1e-6}).recipe("protocol") == Recipe(penalty=1e-6)
    with pytest.raises(UserError, match="at least 0"):
        ThresholdedCoding({"hoyer": -1.0}).recipe("protocol")


def test_training_with_the_regulariser_leaves_fewer_bits() -> None:
    def trained(hoyer: float) -> float:
        subject = Subject("fatrelu", {"hoyer": hoyer})
        spliced = splice(subject.network, subject.plan(Budget(Ceiling.parse("8x"), Bits.parse("w8a2-8"))))
        recipe, device = subject.method().recipe("protocol"), torch.device("cpu")
        losses = recover(spliced, subject.network, subject.workload, 30, 0, device, recipe=recipe)
        bits: list[float] = []
        for stage in spliced.encoders().values():
            stage.observer = lambda x, payload: bits.append(float(payload.bits_per_image().double().mean()))
        with torch.no_grad():
            spliced.module(subject.pixels)
        assert losses[-1] < losses[0]
        return sum(bits)

    assert trained(1e-3) < 0.8 * trained(0.0)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_rows_give_what_the_whole_map_gives(data: st.DataObject) -> None:
    """Of images of which some have more values over the first threshold than there is room for."""
    shape = tuple(data.draw(st.integers(1, most)) for most in (5, 25, 9))
    fmap, quantizer = feature_map(*shape), UniformQuantizer(8, 0.0, 9.0, nonnegative=True)
    rungs = [ThresholdedMap(fmap, threshold, quantizer) for threshold in (0.1, 0.5, 2.0)]
    x = heavy_tailed(4, data.draw(st.integers(0, 9)), shape) * torch.tensor([1.0, 0.2, 5.0, 50.0])[:, None, None, None]
    ladder = data.draw(ladders(fmap, rungs, x))
    assert_rows_give_the_whole(ladder, x, data.draw(stripe_heights(shape[1], ladder.rows)))
