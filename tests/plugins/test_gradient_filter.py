"""Averaged inputs, by hand."""

import pytest
import torch

from actbench.codec import Allowance, MapStatistics, PlainCodec, Unsupported
from actbench.codec.packing import layout, pack, unpack
from actbench.feature_map import FeatureMap
from actbench_plugins.gradient_filter.method import GradientFilter, PooledInput

MAP = FeatureMap("map", 4, 7, 7, "producer", ())
STATS = MapStatistics.of(torch.randn(8, 4, 7, 7, generator=torch.Generator().manual_seed(0)))
WIDTHS = (8, 7, 6, 5, 4, 3, 2)


def test_squares_are_averaged_and_smaller_at_the_borders() -> None:
    x = torch.arange(15.0).reshape(1, 1, 3, 5)
    codec = PooledInput(FeatureMap("map", 1, 3, 5, "producer", ()), 2, PlainCodec(None))
    payload = codec.encode(x)
    assert payload["values"].flatten().tolist() == [3, 5, 6.5, 10.5, 12.5, 14]
    assert codec.decode(payload)[0, 0].tolist() == [[3, 3, 5, 5, 6.5]] * 2 + [[10.5, 10.5, 12.5, 12.5, 14]]
    assert payload.bits_per_image().tolist() == [6 * 32]
    assert torch.equal(codec.decode(unpack(pack(payload), layout(payload))), codec.decode(payload))


@pytest.mark.parametrize(("means", "width"), [("codes", 8), ("fp32", 32)])
@pytest.mark.parametrize(("values", "side"), [(4 * 49, 1), (4 * 49 - 1, 2), (4 * 16, 2), (4, 7)])
def test_the_smallest_squares_that_fit(values: int, side: int, means: str, width: int) -> None:
    codec = GradientFilter({"means": means}).saving(MAP, STATS, Allowance(values * width, (8,)))
    assert codec.describe() == {"squares": side, "bits": width}
    x = STATS.after.sample
    payload = codec.encode(x)
    assert {field.bits for field in payload.fields.values()} == {width}
    assert payload.bits_per_image().tolist() == [width * 4 * (-(-7 // side)) ** 2] * 8 <= [values * width] * 8


def test_codes_leave_smaller_squares_than_floats() -> None:
    """At 16x, 2 bits for each of 49 positions: 3 means a channel in floats, 12 in codes of 8 bits."""
    allowance = Allowance(4 * 49 * 2, (8,))
    codes, floats = (GradientFilter({"means": means}).saving(MAP, STATS, allowance) for means in ("codes", "fp32"))
    assert (codes.describe()["squares"], floats.describe()["squares"]) == (3, 7)


def test_of_all_widths_the_one_that_loses_least_is_taken() -> None:
    x = STATS.after.sample
    errors = {
        widths: float(
            (GradientFilter({"means": "codes"}).saving(MAP, STATS, Allowance(500, widths))(x) - x).norm().detach()
        )
        for widths in [WIDTHS, (8,), (4,), (2,)]
    }
    assert errors[WIDTHS] <= min(errors.values())


@pytest.mark.parametrize(("means", "needed"), [("codes", 8), ("fp32", 128)])
def test_not_even_one_mean_a_channel(means: str, needed: int) -> None:
    with pytest.raises(Unsupported, match=f"one mean a channel needs {needed} bits; {needed - 1} are allowed"):
        GradientFilter({"means": means}).saving(MAP, STATS, Allowance(needed - 1, WIDTHS))
