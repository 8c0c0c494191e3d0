"""The ladder that keeps every image under its allowance, granules and rows, and the planning of ladders."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from actbench.codec import Allowance, MapStatistics, PlainCodec
from actbench.codec.bit_strings import Stream, zero_value_decode, zero_value_encode
from actbench.codec.packing import layout, pack, unpack
from actbench.codec.payload import LENGTH_BITS
from actbench.codec.rate_control import GRANULE, Ladder, LadderMethod, Pooled, Rung, stream_allowance, sum_over_granules
from actbench.codec.rate_control.granules import decode_granules, encode_granules, granule_count
from actbench.errors import InvalidCodec, Unsupported
from actbench.feature_map import FeatureMap, Operation
from tests.codec.gradients import gradient_of
from tests.codec.stripes import assert_rows_give_the_whole, ladders, stripe_heights

SIDE = GRANULE


class Unary(Rung):
    """The one value that a map is filled with, divided by `step`, as so many ones."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def encode(self, x: torch.Tensor) -> Stream:
        lengths = (x.flatten(1)[:, 0] // self.step).long()
        return Stream(torch.ones(int(lengths.sum()), dtype=torch.uint8), lengths)

    def decode(self, stream: Stream, height: int) -> torch.Tensor:
        return (stream.lengths * self.step).float().reshape(-1, 1, 1, 1).expand(-1, 1, height, SIDE)


class Multiples(Rung):
    """Whole numbers of at most 255, rounded down to multiples of `step`, by zero-value coding in 8 bits."""

    def __init__(self, channels: int, columns: int, step: int) -> None:
        super().__init__()
        self.channels, self.columns, self.step = channels, columns, step

    def encode(self, x: torch.Tensor) -> Stream:
        return zero_value_encode((x // self.step).byte().flatten(1), 8)

    def straight_through(self, x: torch.Tensor) -> torch.Tensor:
        """With a gradient of so much as tells which rung, and which row of a granule, it passed."""
        places = 100.0 * self.step + torch.arange(x.shape[2])[:, None]
        return (x // self.step * self.step).detach() + (x - x.detach()) * places

    def decode(self, stream: Stream, height: int) -> torch.Tensor:
        shape = (self.channels, height, self.columns)
        return self.step * zero_value_decode(stream, math.prod(shape), 8).float().unflatten(1, shape)


def images(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32).reshape(-1, 1, 1, 1).expand(-1, 1, SIDE, SIDE)


def test_each_image_takes_the_first_rung_that_fits() -> None:
    ladder = Ladder([Unary(1), Unary(10), Unary(100)], 10 + 2 + 32, SIDE)
    assert ladder.stream_bits == stream_allowance(ladder.allowed, 3, SIDE) == 10
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
    ladder = Ladder([Unary(1), Unary(10)], 10 + 1 + 32, SIDE)
    with pytest.raises(InvalidCodec, match="last rung"):
        ladder.encode(images(5, 110))
    head = ladder.next_head(ladder.first_head(2), torch.tensor([5, 11]))
    assert head is not None
    assert head["rung"].tolist() == [[0], [1]]
    assert ladder.next_head(head, torch.tensor([5, 10])) is None
    with pytest.raises(InvalidCodec, match="last rung"):
        ladder.next_head(head, torch.tensor([5, 11]))


def test_one_rung_and_no_images() -> None:
    ladder = Ladder([Unary(1)], 40, SIDE)
    assert torch.equal(ladder(images(3)), images(3))
    assert ladder(images()).shape == (0, 1, SIDE, SIDE)


def test_lengths_of_granules_are_stored_and_paid_for() -> None:
    """19 rows are granules of 8, 8 and 3; 100 needs 7 bits."""
    x = torch.cat([images(5), images(0), images(7)[:, :, :3]], 2)
    ladder = Ladder([Unary(1)], 100, 19)
    assert ladder.stream_bits == 100 - 1 - 32 - 3 * 7
    payload = ladder.encode(x)
    assert payload["granules"].tolist() == [[5, 0]]
    assert payload["last"].tolist() == [[7]]
    assert payload.lengths("stream").tolist() == [12]
    assert payload.bits_per_image(side_only=True).tolist() == [1 + 3 * 7]
    assert payload.bits_per_image().tolist() == [12 + LENGTH_BITS + 1 + 3 * 7]
    assert torch.equal(ladder.decode(payload), x)
    assert "last" not in Ladder([Unary(1)], 100, 16).encode(x[:, :, :16])
    assert list(Ladder([Unary(1)], 100, 8).encode(x[:, :, :8])) == ["rung", "stream"]


def test_a_stripe_that_is_over_the_allowance_can_be_packed_and_is_written_again() -> None:
    ladder = Ladder([Unary(1), Unary(50)], 32 + 1 + 2 * 6 + 4, 16)
    x = torch.cat([images(120), images(0)], 2)
    stripe = ladder.encode_rows(x[:, :, :8], ladder.first_head(1))
    assert stripe["granules"].tolist() == [[63]]
    assert len(pack(stripe)[0]) == -(-(6 + 32 + 120) // 8)
    assert ladder.encode(x)["rung"].tolist() == [[1]]
    assert_rows_give_the_whole(ladder, x, [8, 8])


@given(st.integers(0, 3), st.integers(1, 2), st.integers(1, 25), st.integers(1, 5), st.integers(0, 99))
def test_a_granule_is_coded_as_if_it_were_a_map(batch: int, channels: int, height: int, width: int, seed: int) -> None:
    x = torch.randint(0, 3, (batch, channels, height, width), generator=torch.Generator().manual_seed(seed)).float()
    rung = Multiples(channels, width, 1)
    granules = encode_granules(rung, x)
    parts = [rung.encode(part).strings() for part in x.split(GRANULE, 2)]
    assert granules.lengths.tolist() == [[len(part[image]) for part in parts] for image in range(batch)]
    assert granules.lengths.shape == (batch, granule_count(height))
    strings = [part[image] for image in range(batch) for part in parts]
    assert torch.equal(granules.bits, torch.cat([torch.zeros(0, dtype=torch.uint8), *strings]))
    assert torch.equal(decode_granules(rung, granules, height), x)
    assert torch.equal(sum_over_granules(rung.lengths, x), granules.lengths.sum(1))


@settings(max_examples=60)
@given(st.data())
def test_rows_give_what_the_whole_map_gives(data: st.DataObject) -> None:
    """Images of which some take lower rungs, in maps of any size."""
    batch = data.draw(st.sampled_from([3, 4, 1, 0]))
    channels, height, width = (data.draw(st.integers(1, most)) for most in (3, 30, 9))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
    densities = torch.rand(batch, 1, 1, 1, generator=generator)
    x = torch.randint(0, 256, (batch, channels, height, width), generator=generator).float()
    x *= torch.rand(x.shape, generator=generator) < densities
    fmap, rungs = feature_map(channels, height, width), [Multiples(channels, width, step) for step in (1, 16, 100)]
    ladder = data.draw(ladders(fmap, rungs, 255 * torch.rand(4, channels, height, width)))
    assert (ladder.encode(x).bits_per_image() <= ladder.allowed).all()
    assert_rows_give_the_whole(ladder, x, data.draw(stripe_heights(height, ladder.rows)))


@given(st.integers(0, 4), st.integers(1, 20), st.integers(0, 99))
def test_gradients_pass_the_rung_that_an_image_takes(batch: int, height: int, seed: int) -> None:
    """Granule by granule, as strings are written."""
    x = torch.randint(0, 9, (batch, 2, height, 3), generator=torch.Generator().manual_seed(seed)).float()
    dense = 9 * x[0].numel() if batch else 0
    ladder = Ladder([Multiples(2, 3, 1), Multiples(2, 3, 4), Multiples(2, 3, 9)], 200 + 7 * dense // 9, height)
    steps = torch.tensor([1, 4, 9])[ladder.encode(x)["rung"][:, 0]]
    rows = torch.arange(height) % GRANULE
    expected = (100.0 * steps.view(-1, 1, 1, 1) + rows[:, None]).expand_as(x)
    assert torch.equal(gradient_of(ladder, x, torch.ones(1)), expected)


def feature_map(channels: int, height: int, width: int) -> FeatureMap:
    return FeatureMap("map", channels, height, width, "producer", (), (Operation("relu"),), source=(height, width))


@given(st.integers(1, 3), st.integers(1, 20), st.integers(1, 20), st.integers(18, 700))
def test_the_pooled_map_always_fits(channels: int, height: int, width: int, bits: int) -> None:
    x = torch.rand(2, channels, height, width)
    pooled = Pooled.fitting(feature_map(channels, height, width), x, Allowance(bits, (8, 5, 2)))
    granules = encode_granules(pooled, x)
    assert granules.lengths.sum(1).tolist() == [len(granules.bits) // 2] * 2
    assert int(granules.lengths.sum(1).max()) <= bits
    decoded = decode_granules(pooled, granules, height)
    assert decoded.shape == x.shape
    torch.testing.assert_close(decoded, pooled.decode(pooled.encode(x), height), rtol=0, atol=0)
    if x[0].numel() * 8 <= bits:
        assert (decoded - x).abs().max() < 0.02


def test_the_pooled_map_is_the_average() -> None:
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    pooled = Pooled.fitting(feature_map(1, 4, 4), x, Allowance(4 * 8, (8,)))
    expected = torch.tensor([[2.5, 4.5], [10.5, 12.5]]).repeat_interleave(2, 0).repeat_interleave(2, 1)
    torch.testing.assert_close(pooled.decode(pooled.encode(x), 4)[0, 0], expected, atol=0.03, rtol=0)
    with pytest.raises(Unsupported, match="needs 16 bits; 15 are left"):
        Pooled.fitting(feature_map(2, 4, 4), x, Allowance(15, (8,)))


def test_rectangles_at_the_edges_are_the_average_of_what_is_there() -> None:
    """3×5 positions in squares of 2: the last column and row of squares are cut."""
    x = torch.arange(15.0).reshape(1, 1, 3, 5)
    pooled = Pooled.fitting(feature_map(1, 3, 5), x, Allowance(6 * 16, (16,)))
    assert pooled.area == (2, 2)
    expected = torch.tensor([[3.0, 5.0, 6.5], [10.5, 12.5, 14.0]]).repeat_interleave(2, 0).repeat_interleave(2, 1)
    decoded = pooled.decode(pooled.encode(x), 3)
    torch.testing.assert_close(decoded[0, 0], expected[:3, :5], atol=1e-3, rtol=0)


@given(st.integers(1, 20), st.integers(1, 9), st.sampled_from([8, 48, 200]))
def test_the_gradient_of_the_pooled_map_is_that_of_an_average(height: int, width: int, bits: int) -> None:
    x = torch.rand(2, 1, height, width)
    fmap = feature_map(1, height, width)
    pooled = Pooled.fitting(fmap, torch.cat([x, torch.full_like(x, 2.0)]), Allowance(bits, (2,)))
    ladder = Ladder([pooled], 10_000, height)
    weights = torch.rand(2, 1, height, width)
    rows, columns = pooled.area
    expected = torch.zeros_like(x)
    for row in range(0, height, rows):
        for column in range(0, width, columns):
            part = (..., slice(row, row + rows), slice(column, column + columns))
            expected[part] = weights[part].mean((2, 3), keepdim=True)
    torch.testing.assert_close(gradient_of(ladder, x, weights), expected)


@pytest.mark.parametrize(
    ("bits", "area"), [(640, (1, 1)), (639, (2, 2)), (159, (4, 4)), (39, (8, 8)), (11, (8, 16)), (7, (8, 32))]
)
def test_areas_grow_to_a_granules_rows_and_all_columns(bits: int, area: tuple[int, int]) -> None:
    """A map of 16×20, in 2 bits a value."""
    x = torch.rand(1, 1, 16, 20)
    assert Pooled.fitting(feature_map(1, 16, 20), x, Allowance(bits, (2,))).area == area
    with pytest.raises(Unsupported, match="needs 4 bits; 3 are left"):
        Pooled.fitting(feature_map(1, 16, 20), x, Allowance(3, (2,)))


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
