"""Block floating point against a computation by hand, and the choice of block and width."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from actbench.codec import Allowance, MapStatistics, Unsupported
from actbench.codec.block_codes import BlockCodec
from actbench.feature_map import FeatureMap, Operation
from actbench_plugins.block_float.method import BlockFloat

WIDTHS = (8, 7, 6, 5, 4, 3, 2)


def maps(channels: int = 32, *, relu: bool = False) -> Tensor:
    x = torch.randn(4, channels, 6, 5, generator=torch.Generator().manual_seed(2))
    return x.relu() if relu else x


def planned(x: Tensor, bits: int, widths: tuple[int, ...] = WIDTHS, *, relu: bool = False) -> BlockCodec:
    between = (Operation("relu"),) if relu else ()
    fmap = FeatureMap("map", x.shape[1], 6, 5, "producer", (), between)
    codec = BlockFloat({}).codec(fmap, MapStatistics.of(x), Allowance(bits, widths))
    assert isinstance(codec, BlockCodec)
    return codec


def by_hand(block: list[float], width: int, *, signed: bool) -> list[float]:
    """The least exponent with which no rounded mantissa is too large."""
    most = (1 << (width - signed)) - 1
    largest = max(abs(value) for value in block)
    exponent = -200
    while largest / 2.0**exponent >= most + 0.5:
        exponent += 1
    return [max(-most * signed, min(most, round(value / 2.0**exponent))) * 2.0**exponent for value in block]


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("width", [2, 3, 4, 5, 6])
def test_values_are_those_by_hand(width: int, relu: bool) -> None:
    x = maps(relu=relu)
    codec = planned(x, 10**6, (width,), relu=relu)
    assert codec.describe() == {"format": f"{'u' if relu else ''}int{width}", "block": 4}
    decoded = codec(x)
    for place in ((0, 0, 0), (1, 3, 4), (3, 5, 2)):
        image, row, column = place
        for start in range(0, 32, 4):
            block = x[image, start : start + 4, row, column].tolist()
            expected = by_hand(block, width, signed=not relu)
            assert decoded[image, start : start + 4, row, column].tolist() == expected


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 8000))
def test_no_allowance_is_exceeded(bits: int) -> None:
    x = maps()
    least = 30 * (32 * 2 + 8)
    if bits < least:
        with pytest.raises(Unsupported, match=f"needs {least} bits in blocks; {bits} are allowed"):
            planned(x, bits)
        return
    assert int(planned(x, bits).encode(x).bits_per_image()[0]) <= bits


def test_the_pair_has_the_least_error_of_all_that_fit() -> None:
    x, allowed = maps(), 30 * 32 * 4
    errors = {}
    for width in (2, 3, 4, 5, 6):
        for length in (4, 8, 16, 32):
            if 30 * 32 // length * (length * width + 8) <= allowed:
                codec = planned(x, 30 * 32 // length * (length * width + 8), (width,))
                assert codec.describe()["block"] == length
                errors[width, length] = float((codec(x) - x).square().sum())
    chosen = planned(x, allowed)
    assert float((chosen(x) - x).square().sum()) == min(errors.values())
    assert (chosen.element.bits, chosen.block) == min(errors, key=errors.__getitem__)


@pytest.mark.parametrize(("channels", "blocks"), [(1, 1), (2, 2), (3, 4), (12, 16), (512, 256)])
def test_blocks_are_powers_of_two(channels: int, blocks: int) -> None:
    x = maps(channels)
    bits = 30 * math.ceil(channels / blocks) * (2 * blocks + 8)
    codec = planned(x, bits, (2,))
    assert codec.describe()["block"] == blocks
    assert int(codec.encode(x).bits_per_image()[0]) == bits


def test_widths_that_no_mantissa_has() -> None:
    with pytest.raises(Unsupported, match="2 to 6 bits, which the widths of codes leave out"):
        planned(maps(), 10**6, (8,))
