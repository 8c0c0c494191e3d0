"""Ceilings and bits: how they are read, and how much they allow."""

from collections.abc import Sequence
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actbench.budget import REFERENCE, Allowance, Bits, Budget, Ceiling
from actbench.errors import UserError
from actbench.feature_map import FeatureMap

CEILINGS = [
    "8x",
    "1x",
    "2.5x",
    "traffic:4x",
    "traffic:1.25x",
    "1234567x",
    "2.123456x",
    "999999999.999999x",
    "live:4x",
    "peak:64KiB",
    "traffic:1.5MiB",
    "live:3B",
    "live:1100KiB",
]
BITS = ["w8a8", "w8a2-8", "w4a1-16", "w2a1", "w16a16", "w8a32", "w32a32", "w32a4"]


def feature_map(channels: int, side: int) -> FeatureMap:
    return FeatureMap(f"map{channels}x{side}", channels, side, side, "producer", ())


def shares(ceiling: Ceiling, maps: Sequence[FeatureMap]) -> list[int]:
    return [Budget(ceiling, Bits.parse("w8a8")).share(fmap, maps) for fmap in maps]


RESNET18 = (feature_map(64, 56), feature_map(128, 28), feature_map(256, 14), feature_map(512, 7))
VGG = (feature_map(64, 224), feature_map(128, 112), feature_map(256, 56))


@pytest.mark.parametrize("text", CEILINGS)
def test_ceilings_are_written_as_they_are_read(text: str) -> None:
    assert str(Ceiling.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "short"),
    [
        (" 8.0x ", "8x"),
        ("peak:8x", "8x"),
        ("traffic:2.50x", "traffic:2.5x"),
        ("peak:1024KiB", "peak:1MiB"),
        ("live:0.5KiB", "live:512B"),
    ],
)
def test_ceilings_have_one_form(text: str, short: str) -> None:
    assert Ceiling.parse(text) == Ceiling.parse(short)
    assert str(Ceiling.parse(text)) == short


@given(st.sampled_from(["", "peak:", "traffic:"]), st.integers(10**6, 10**15 - 1))
def test_any_ceiling_survives(kind: str, millionths: int) -> None:
    ceiling = Ceiling.parse(f"{kind}{millionths // 10**6}.{millionths % 10**6:06}x")
    assert ceiling.factor == Fraction(millionths, 10**6)
    assert Ceiling.parse(str(ceiling)) == ceiling


@pytest.mark.parametrize("text", BITS)
def test_bits_are_written_as_they_are_read(text: str) -> None:
    assert str(Bits.parse(text)) == text


def test_bits_have_one_form() -> None:
    assert str(Bits.parse(" w08a4-4 ")) == "w8a4"
    assert Bits.parse("w8a2-5") == Bits(8, 2, 5)
    assert Bits.parse("w8a2-5").widths == (5, 4, 3, 2)
    assert Bits.parse("w32a32").widths == (32,)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "0x",
            "0.5x",
            "",
            "8",
            "-1x",
            "x",
            "nanx",
            "infx",
            "1e3x",
            "traffic:",
            "traffic:8",
            "sum:8x",
            "8x,16x",
            "64KiB",
            "peak:0.5B",
            "peak:8KB",
        ),
        *("8x\n4x", "9" * 5000 + "x", "1." + "9" * 5000 + "x"),
    ],
    ids=lambda text: repr(text[:12]),
)
def test_bad_ceilings(text: str) -> None:
    with pytest.raises(UserError) as caught:
        Ceiling.parse(text)
    assert "8x" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "text",
    [
        *("", "8", "w8", "a8", "w0a8", "w8a0", "w8a40", "w17a8", "w1a8", "w8a8-2", "w8a8-32", "w8a2-", "w-8a8"),
        *("w8.5a8", "wnana8", "w8a8\nw4a4", "w8a" + "9" * 5000),
    ],
    ids=lambda text: repr(text[:12]),
)
def test_bad_bits(text: str) -> None:
    with pytest.raises(UserError) as caught:
        Bits.parse(text)
    assert len(str(caught.value).splitlines()) == 1


def test_published_counts() -> None:
    ceiling = Ceiling.parse("4x")
    assert ceiling.limit(RESNET18) == 50_176 * 32
    assert Budget(ceiling, REFERENCE.bits).allowance(RESNET18[0], RESNET18).rank(56 * 56, 32) == 16
    ceiling = Ceiling.parse("6x")
    ranks = [Budget(ceiling, REFERENCE.bits).allowance(fmap, VGG).rank(fmap.positions, 32) for fmap in VGG]
    assert ranks == [10, 42, 170]


def test_peak_and_traffic() -> None:
    bits = [64 * 56 * 56 * 32, 128 * 28 * 28 * 32, 256 * 14 * 14 * 32, 512 * 7 * 7 * 32]
    peak, traffic = Ceiling.parse("3x"), Ceiling.parse("traffic:3x")
    assert peak.limit(RESNET18) == bits[0] // 3
    assert shares(peak, RESNET18) == [bits[0] // 3] * 4
    assert traffic.limit(RESNET18) == sum(bits) // 3
    assert shares(traffic, RESNET18) == [count // 3 for count in bits]


def test_limits_are_exact() -> None:
    assert Ceiling.parse("1x").limit([feature_map(2**53 + 1, 1)]) == (2**53 + 1) * 32
    assert Ceiling.parse("1.1x").limit([feature_map(11, 1)]) == 320


@given(st.lists(st.tuples(st.integers(1, 512), st.integers(1, 300)), min_size=1, max_size=6), st.integers(10, 999))
def test_shares_of_traffic_stay_under_its_limit(shapes: list[tuple[int, int]], tenths: int) -> None:
    maps = [feature_map(*shape) for shape in shapes]
    ceiling = Ceiling.parse(f"traffic:{tenths / 10}x")
    assert sum(shares(ceiling, maps)) <= ceiling.limit(maps)


@given(st.integers(0, 10**9), st.integers(1, 10**6), st.integers(1, 32))
def test_the_rank_is_the_most_that_fits(bits: int, positions: int, width: int) -> None:
    rank = Allowance(bits, (width,)).rank(positions, width)
    assert rank * positions * width <= bits < (rank + 1) * positions * width


def test_the_widest_code_that_fits() -> None:
    fmap = feature_map(3, 4)  # 48 values
    widths = (8, 7, 6, 5, 4)
    plain = [Allowance(bits, widths).plain_width(fmap) for bits in (48 * 8, 48 * 8 - 1, 48 * 4, 48 * 4 - 1, 10**9)]
    assert plain == [8, 7, 4, None, 8]
    assert Allowance(48 * 8, widths).leaves_alone(fmap)
    assert not Allowance(48 * 8 - 1, widths).leaves_alone(fmap)


def test_a_budget_hands_out_its_parts() -> None:
    budget = Budget(Ceiling.parse("traffic:2x"), Bits.parse("w8a2-4"))
    assert str(budget) == "traffic:2x w8a2-4"
    assert budget.allowance(VGG[1], VGG) == Allowance(VGG[1].bits // 2, (4, 3, 2))
    assert all(REFERENCE.allowance(fmap, VGG).leaves_alone(fmap) for fmap in VGG)


def test_sizes_are_sizes_whatever_the_network() -> None:
    ceiling = Ceiling.parse("peak:64KiB")
    assert ceiling.limit(RESNET18) == ceiling.limit(VGG) == ceiling.allowed(1) == 64 * 1024 * 8
    assert shares(ceiling, RESNET18) == [64 * 1024 * 8] * 4
    bits, parts = [fmap.bits for fmap in RESNET18], shares(Ceiling.parse("traffic:64KiB"), RESNET18)
    assert parts == [64 * 1024 * 8 * part // sum(bits) for part in bits]


@given(st.integers(1, 10**12))
def test_any_size_survives(size: int) -> None:
    ceiling = Ceiling("live", None, 8 * size)
    assert Ceiling.parse(str(ceiling)) == ceiling
