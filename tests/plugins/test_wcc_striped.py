"""WCC in rows: to the bit what the whole map is, however it is divided, in the memory of what is kept."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from actbench.codec import NO_HEAD, Allowance, Collects, MapStatistics, Payload, Rows
from actbench.codec.packed_payload import PackedPayload
from actbench.codec.packing import layout, pack, unpack
from actbench.codec.payload import LENGTH_BITS
from actbench.feature_map import FeatureMap
from actbench.measure.memory import peak_live_bytes
from actbench_plugins.wcc.method import WaveletCompression
from actbench_plugins.wcc.positions import energies, largest, uses_bitmap
from actbench_plugins.wcc.quantizer import ZeroQuantizer
from actbench_plugins.wcc.striped import StripedWaveletCodec
from actbench_plugins.wcc.transforms import build

WIDTHS = st.sampled_from([2, 5, 8, 12, None])


def striped(
    shape: tuple[int, ...], levels: int, count: int, width: int | None, wavelet: str = "haar"
) -> StripedWaveletCodec:
    fmap = FeatureMap("map", shape[1], shape[2], shape[3], "producer", (), source=shape[2:])
    quantizer = None if width is None else ZeroQuantizer(width, -2.0, 3.0)
    return StripedWaveletCodec(fmap, build(wavelet, shape[2], shape[3], levels), "joint", count, quantizer)


def collected(codec: StripedWaveletCodec, x: torch.Tensor, ends: list[int]) -> list[Payload]:
    """The stripes of a map that comes in in rows up to each of these ends."""
    collector = codec.collector(len(x))
    for part in x.tensor_split(ends, 2):
        collector.add(part)
    return list(collector.finish())


def decoded(codec: StripedWaveletCodec, stripes: list[Payload]) -> torch.Tensor:
    return torch.cat([codec.decode_rows(stripe, NO_HEAD) for stripe in stripes], 2)


@st.composite
def divided(draw: st.DrawFn) -> tuple[StripedWaveletCodec, torch.Tensor, list[int]]:
    """A codec, a map of any size, often with many equal energies, and where its stripes end."""
    shape = (draw(st.integers(1, 3)), draw(st.integers(1, 5)), draw(st.integers(1, 30)), draw(st.integers(1, 20)))
    x = torch.randn(shape, generator=torch.Generator().manual_seed(draw(st.integers(0, 99))))
    kind = draw(st.sampled_from(["normal", "whole numbers", "zero in places", "zero"]))
    x = {"normal": x, "whole numbers": x.round(), "zero in places": x * (x[:, :1] > 0.5), "zero": 0 * x}[kind]
    x = x.to(draw(st.sampled_from([torch.float32, torch.float64, torch.float16, torch.bfloat16])))
    wavelet = draw(st.sampled_from(["haar", "none"]))
    transform = build(wavelet, *shape[2:], draw(st.integers(1, 3)))
    count = draw(st.integers(1, transform.positions))
    codec = striped(shape, transform.levels, count, draw(WIDTHS), wavelet)
    if draw(st.booleans()):
        codec.clip_channels(x)
    ends = draw(st.lists(st.sampled_from(range(0, shape[2], codec.rows)), unique=True).map(sorted))
    return codec, x, [end for end in ends if end > 0]


@settings(max_examples=200, deadline=None)
@given(divided())
def test_stripes_are_the_whole_map_to_the_bit(case: tuple[StripedWaveletCodec, torch.Tensor, list[int]]) -> None:
    codec, x, ends = case
    with torch.no_grad():
        whole = codec.encode(x)
        stripes = collected(codec, x, ends)
        result = decoded(copy.deepcopy(codec), stripes)
        assert result.dtype == x.dtype
        assert torch.equal(result, codec.decode(whole).to(x.dtype))  # fp32 for codes too wide for half precision
    heights = [part.shape[2] for part in x.tensor_split(ends, 2)]
    assert [codec.decode_rows(stripe, NO_HEAD).shape[2] for stripe in stripes] == heights
    strings = len(stripes) * (1 if uses_bitmap(codec.count, codec.transform.positions) else 2)
    bits = torch.stack([stripe.bits_per_image() for stripe in stripes]).sum(0)
    assert torch.equal(bits - LENGTH_BITS * strings, whole.bits_per_image())


@settings(max_examples=50, deadline=None)
@given(divided())
def test_stripes_survive_packing(case: tuple[StripedWaveletCodec, torch.Tensor, list[int]]) -> None:
    codec, x, ends = case
    stripes = collected(codec, x, ends)
    with torch.no_grad():
        expected = decoded(codec, stripes)
        packed = [unpack(pack(stripe), layout(stripe)) for stripe in stripes]
        assert torch.equal(decoded(codec, packed), expected)
        packed = [PackedPayload.of(stripe).payload() for stripe in stripes]
        assert torch.equal(decoded(codec, packed), expected)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.data())
def test_of_equal_energies_the_first_are_kept(values: list[int], data: st.DataObject) -> None:
    count = data.draw(st.integers(1, len(values)))
    by_energy = sorted(range(len(values)), key=lambda position: (-values[position], position))
    marked = largest(torch.tensor(values, dtype=torch.float32)[None, None], count)
    assert marked[0, 0].nonzero()[:, 0].tolist() == sorted(by_energy[:count])


def test_values_that_are_no_numbers_are_kept_like_infinite_ones() -> None:
    energy = torch.tensor([1.0, torch.nan, 2.0, torch.inf, torch.nan, 3.0])
    assert largest(energy, 2).tolist() == [False, True, False, True, False, False]
    assert largest(energy, 4).tolist() == [False, True, False, True, True, True]


@given(st.integers(1, 40), st.integers(1, 70), st.integers(0, 70))
def test_an_energy_is_the_same_beside_any_others(channels: int, positions: int, first: int) -> None:
    y = torch.randn(2, channels, positions)
    energy = energies(y)
    torch.testing.assert_close(energy, y.square().sum(1, keepdim=True))
    parts = [energies(part) for part in (y[:, :, :first], y[:, :, first:])]
    assert torch.equal(torch.cat(parts, 2), energy)


def test_a_map_that_fits_one_stripe_is_encoded_at_once() -> None:
    x = torch.randn(2, 3, 13, 9)
    codec = striped(tuple(x.shape), 3, 40, 8)
    with torch.no_grad():
        assert torch.equal(codec.decode_rows(codec.encode_rows(x, NO_HEAD), NO_HEAD), codec(x))


@pytest.mark.parametrize(("rows", "width", "count"), [(8, 8, 6272), (8, 4, 12544), (16, 8, 3136), (8, None, 800)])
def test_collecting_needs_the_memory_of_what_is_kept(rows: int, width: int | None, count: int) -> None:
    shape = (1, 64, 112, 112)
    codec, x = striped(shape, 3, count, width), torch.randn(shape)
    kept = count * (64 * (4 if width is None else 1) + 4 + 4)  # codes in whole bytes, a position and an energy
    stripe = 4 * 64 * rows * 112
    peak = peak_live_bytes(lambda: collected(codec, x, list(range(rows, 112, rows))))
    assert peak < kept + 5 * stripe
    assert peak < 0.4 * 2 * 4 * x.numel()  # the map and its coefficients


def planned(**options: int | str) -> object:
    x = torch.randn(2, 4, 16, 16)
    chosen = {"levels": 3, "wavelet": "haar", "selection": "joint", "where": "all"} | options
    fmap = FeatureMap("map", 4, 16, 16, "producer", (), source=(16, 16))
    return WaveletCompression(chosen).codec(fmap, MapStatistics.of(x), Allowance(4000, (8, 4)))


@pytest.mark.parametrize(
    ("options", "rows"),
    [({}, 8), ({"levels": 1}, 2), ({"wavelet": "none"}, 1), ({"levels": 0}, 1)],
)
def test_what_works_in_rows_says_in_how_many(options: dict[str, int | str], rows: int) -> None:
    codec = planned(**options)
    assert isinstance(codec, Rows)
    assert isinstance(codec, Collects)
    assert codec.rows == rows


@pytest.mark.parametrize(
    "options", [{"wavelet": "db2"}, {"selection": "channel"}, {"selection": "low"}, {"selection": "random"}]
)
def test_other_wavelets_and_controls_need_the_whole_map(options: dict[str, str]) -> None:
    assert not isinstance(planned(**options), Rows | Collects)
