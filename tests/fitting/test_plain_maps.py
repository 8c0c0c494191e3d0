"""Plain maps by one rule."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from actbench.budget import Bits, Budget, Ceiling
from actbench.codec import Codec, FeatureMap, MapStatistics, Payload, PlainCodec, UniformQuantizer, floating
from actbench.errors import InvalidCodec
from actbench.feature_map import Reader
from actbench.fitting.plain_maps import PlainMaps, keeps_all_channels
from actbench.network.calibration import Statistics
from actbench.network.trace import TracedNetwork

from .conftest import plain, projection

READERS = (Reader("conv", "conv"),)
LARGE = FeatureMap("large", 4, 8, 8, "a", READERS, (), (8, 8))
SMALL = FeatureMap("small", 4, 4, 4, "b", READERS, (), (4, 4))


class Noisy(Codec):
    """Stores `share` of a map's values in fp32, and adds an error."""

    def __init__(self, fmap: FeatureMap, bits: int, error: float) -> None:
        super().__init__()
        self.count, self.error, self.shape = bits // 32, error, (fmap.channels, fmap.height, fmap.width)
        self.kept = torch.empty(0)

    def encode(self, x: Tensor) -> Payload:
        self.kept = x
        return Payload(values=floating(x.flatten(1)[:, : self.count]))

    def decode(self, payload: Payload) -> Tensor:
        return self.kept + self.error * torch.randn(self.kept.shape, generator=torch.Generator().manual_seed(0))


def rule(ceiling: str, bits: str = "w8a2-8", *, never: bool = False) -> PlainMaps:
    return PlainMaps((LARGE, SMALL), lambda fmap: (), Budget(Ceiling.parse(ceiling), Bits.parse(bits)), never)


def stats(fmap: FeatureMap) -> MapStatistics:
    return MapStatistics.of(torch.randn(20, fmap.channels, fmap.height, fmap.width).relu())


@pytest.mark.parametrize(("error", "is_plain"), [(1e-3, False), (0.5, True)])
def test_the_nearer_one_is_chosen(error: float, is_plain: bool) -> None:
    stored = {fmap.name: stats(fmap) for fmap in (LARGE, SMALL)}
    codecs = rule("8x").apply({fmap.name: Noisy(fmap, 512, error) for fmap in (LARGE, SMALL)}, stored)
    assert [isinstance(codecs[name], PlainCodec) for name in ("large", "small")] == [is_plain, is_plain]
    if is_plain:
        assert [codecs[name].describe() for name in ("large", "small")] == [{"bits": 4}, {"bits": 8}]


@pytest.mark.parametrize(("error", "is_plain"), [(0.02, False), (0.5, True)])
def test_a_coder_is_given_up_for_errors_that_matter_alone(error: float, is_plain: bool) -> None:
    """A map of 8-bit codes errs by less than 0.02, and takes more bits."""
    coder = PlainMaps((LARGE, SMALL), lambda fmap: (), Budget(Ceiling.parse("8x"), Bits.parse("w8a2-8")), coder=True)
    chosen = coder.apply({"small": Noisy(SMALL, 512, error)}, {"small": stats(SMALL)})
    assert isinstance(chosen["small"], PlainCodec) == is_plain
    other = rule("8x").apply({"small": Noisy(SMALL, 512, error)}, {"small": stats(SMALL)})
    assert isinstance(other["small"], PlainCodec)


class Narrow(Noisy):
    """Gives one channel."""

    def decode(self, payload: Payload) -> Tensor:
        return super().decode(payload)[:, :1]


def test_broken_codecs_are_named_and_not_replaced() -> None:
    with pytest.raises(InvalidCodec, match=r"decode of small returned \(1, 4, 4\), not \(4, 4, 4\)"):
        rule("8x").apply({"small": Narrow(SMALL, 512, 0.5)}, {"small": stats(SMALL)})
    with pytest.raises(InvalidCodec, match="small returned what is not finite"):
        rule("8x").apply({"small": Noisy(SMALL, 512, float("nan"))}, {"small": stats(SMALL)})


def test_never_is_never() -> None:
    stored = {fmap.name: stats(fmap) for fmap in (LARGE, SMALL)}
    given = {fmap.name: Noisy(fmap, 512, 0.5) for fmap in (LARGE, SMALL)}
    assert rule("8x", never=True).apply(given, stored) == given


def test_what_does_not_fit_is_not_plain() -> None:
    chosen = rule("8x", "w8a8").apply({"large": Noisy(LARGE, 512, 0.5)}, {"large": stats(LARGE)})
    assert isinstance(chosen["large"], Noisy)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 80), st.integers(0, 20), st.sampled_from(["traffic:4x", "traffic:8x", "traffic:16x"]))
def test_all_maps_together_stay_within_a_ceiling_on_traffic(large: int, small: int, ceiling: str) -> None:
    """Whatever share of it the method gave to which map."""
    limit = Ceiling.parse(ceiling).limit((LARGE, SMALL))
    given = {"large": Noisy(LARGE, 32 * large, 0.5), "small": Noisy(SMALL, 32 * small, 0.5)}
    stored = {"large": stats(LARGE), "small": stats(SMALL)}
    before = 32 * (large + small)
    codecs = rule(ceiling).apply(given, stored)
    after = sum(int(codec.encode(stored[name].after.sample[:1]).bits_per_image()[0]) for name, codec in codecs.items())
    assert after <= max(limit, before)


def test_a_linear_codec_that_keeps_all_channels_projects_nothing(
    network: TracedNetwork, statistics: Statistics
) -> None:
    """At k = C the map is plain, though the rotated one errs less here."""
    fmap = network.maps[0]
    whole, narrow = projection(fmap, statistics, 8, 8), projection(fmap, statistics, 7, 8)
    assert keeps_all_channels(whole)
    assert not keeps_all_channels(narrow)
    assert not keeps_all_channels(PlainCodec(UniformQuantizer(8, 0, 1)))
    budget = Budget(Ceiling.parse("4x"), Bits.parse("w8a8"))
    chosen = PlainMaps(network.maps, network.readers, budget).apply({fmap.name: whole}, statistics)[fmap.name]
    assert isinstance(chosen, PlainCodec)
    assert chosen.describe() == {"bits": 8}


def test_what_the_method_stores_plainly_stays(network: TracedNetwork, statistics: Statistics) -> None:
    fmap = network.maps[0]
    narrow = plain(fmap, statistics, 3)
    budget = Budget(Ceiling.parse("4x"), Bits.parse("w8a2-8"))
    assert PlainMaps(network.maps, network.readers, budget).apply({fmap.name: narrow}, statistics)[fmap.name] is narrow
