"""The ladder that keeps every image under its allowance, and the planning of ladders."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from actbench.codec import Allowance, MapStatistics, PlainCodec
from actbench.codec.bit_strings import Stream
from actbench.codec.packing import layout, pack, unpack
from actbench.codec.rate_control import Ladder, LadderMethod, Pooled, Rung, stream_allowance
from actbench.errors import InvalidCodec, Unsupported
from actbench.feature_map import FeatureMap, Operation

SIDE = 8


class Unary(Rung):
    """The one value that a map is filled with, divided by `step`, as so many ones."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def encode(self, x: torch.Tensor) -> Stream:
        lengths = (x.flatten(1)[:, 0] // self.step).long()
        return Stream(torch.ones(int(lengths.sum()), dtype=torch.uint8), lengths)

    def decode(self, stream: Stream) -> torch.Tensor:
        return (stream.lengths * self.step).float().reshape(-1, 1, 1, 1).expand(-1, 1, SIDE, SIDE)


def images(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32).reshape(-1, 1, 1, 1).expand(-1, 1, SIDE, SIDE)


def test_each_image_takes_the_first_rung_that_fits() -> None:
    ladder = Ladder([Unary(1), Unary(10), Unary(100)], 10 + 2 + 32)
    assert ladder.stream_bits == stream_allowance(ladder.allowed, 3) == 10
    x = images(57, 10, 100, 999, 0, 11)
    payload = ladder.encode(x)
    assert payload["rung"][:, 0].tolist() == [1, 0, 1, 2, 0, 1]
    assert payload.lengths("stream").tolist() == [5, 10, 10, 9, 0, 1]
    assert payload.bits_per_image().tolist() == [5 + 34, 10 + 34, 10 + 34, 9 + 34, 34, 1 + 34]
    assert payload.bits_per_image(side_only=True).tolist() == [2] * 6
    assert ladder.fallbacks(payload).tolist() == [True, False, True, True, False, True]
    restored = unpack(pack(payload), layout(payload))
    decoded = copy.deepcopy(ladder).decode(restored)
    assert decoded[:, 0, 0, 0].tolist() == [50, 10, 100, 900, 0, 10]
    assert torch.equal(ladder.decode(payload), decoded)


def test_a_last_rung_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(InvalidCodec, match="last rung"):
        Ladder([Unary(1), Unary(10)], 10 + 1 + 32).encode(images(5, 110))


def test_one_rung_and_no_images() -> None:
    ladder = Ladder([Unary(1)], 40)
    assert torch.equal(ladder(images(3)), images(3))
    assert ladder(images()).shape == (0, 1, SIDE, SIDE)


def feature_map(channels: int, height: int, width: int) -> FeatureMap:
    return FeatureMap("map", channels, height, width, "producer", (), (Operation("relu"),), source=(height, width))


@given(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.integers(6, 700))
def test_the_pooled_map_always_fits(channels: int, height: int, width: int, bits: int) -> None:
    x = torch.rand(2, channels, height, width)
    pooled = Pooled.fitting(feature_map(channels, height, width), x, Allowance(bits, (8, 5, 2)))
    stream = pooled.encode(x)
    assert stream.lengths.tolist() == [len(stream.bits) // 2] * 2
    assert int(stream.lengths.max()) <= bits
    assert pooled.decode(stream).shape == x.shape
    if x[0].numel() * 8 <= bits:
        assert (pooled.decode(stream) - x).abs().max() < 0.02


def test_the_pooled_map_is_the_average() -> None:
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    pooled = Pooled.fitting(feature_map(1, 4, 4), x, Allowance(4 * 8, (8,)))
    expected = torch.tensor([[2.5, 4.5], [10.5, 12.5]]).repeat_interleave(2, 0).repeat_interleave(2, 1)
    torch.testing.assert_close(pooled.decode(pooled.encode(x))[0, 0], expected, atol=0.03, rtol=0)
    with pytest.raises(Unsupported, match="needs 16 bits; 15 are left"):
        Pooled.fitting(feature_map(2, 4, 4), x, Allowance(15, (8,)))


class Given(LadderMethod):
    """A method with the families that it is given."""

    def __init__(self, *families: list[Rung]) -> None:
        super().__init__({})
        self._families = families

    def families(self, fmap: FeatureMap, stats: MapStatistics, allowance: Allowance) -> tuple[list[Rung], ...]:
        return self._families


def plan(x: torch.Tensor, bits: int, *families: list[Rung]) -> Ladder | PlainCodec:
    codec = Given(*families).codec(feature_map(1, SIDE, SIDE), MapStatistics.of(x), Allowance(bits, (16,)))
    assert isinstance(codec, Ladder | PlainCodec)
    return codec


def test_planning_takes_the_first_rung_that_fits_with_a_margin() -> None:
    rungs = [Unary(1), Unary(2), Unary(4)]
    x = images(*range(101))
    room = 37  # the length, and the number of a rung out of 32
    assert plan(x, room + 102, rungs).describe() == {"rungs": 4}
    codec = plan(x, room + 101, rungs)
    assert codec.rungs[0] is rungs[1]
    assert codec.fallbacks(codec.encode(images(50, 300))).tolist() == [False, True]


def test_planning_takes_the_family_with_the_least_error() -> None:
    x = images(*range(101))
    fine, coarse = [Unary(3)], [Unary(7)]
    assert plan(x, 150, coarse, fine).rungs[0] is fine[0]


def test_planning_gives_up_where_most_images_do_not_fit() -> None:
    x = images(*[10.0] * 6, *[900.0] * 4)
    codec = plan(x, 100, [Unary(1), Unary(2)])
    assert int(codec.fallbacks(codec.encode(x)).sum()) == 4
    with pytest.raises(Unsupported, match="40% of the calibration images"):
        plan(images(*[10.0] * 4, *[900.0] * 6), 100, [Unary(2)])
