"""Averaged inputs, by hand."""

import pytest
import torch

from actbench.codec import Allowance, Unsupported
from actbench.codec.packing import layout, pack, unpack
from actbench.feature_map import FeatureMap
from actbench_plugins.gradient_filter.method import GradientFilter, PooledInput


def test_squares_are_averaged_and_smaller_at_the_borders() -> None:
    x = torch.arange(15.0).reshape(1, 1, 3, 5)
    codec = PooledInput(FeatureMap("map", 1, 3, 5, "producer", ()), 2)
    payload = codec.encode(x)
    assert payload["means"].flatten().tolist() == [3, 5, 6.5, 10.5, 12.5, 14]
    assert codec.decode(payload)[0, 0].tolist() == [[3, 3, 5, 5, 6.5]] * 2 + [[10.5, 10.5, 12.5, 12.5, 14]]
    assert payload.bits_per_image().tolist() == [6 * 32]
    assert torch.equal(codec.decode(unpack(pack(payload), layout(payload))), codec.decode(payload))


@pytest.mark.parametrize(("bits", "side"), [(4 * 49 * 32, 1), (4 * 49 * 32 - 1, 2), (4 * 16 * 32, 2), (4 * 32, 7)])
def test_the_smallest_squares_that_fit(bits: int, side: int) -> None:
    codec = GradientFilter({}).saving(FeatureMap("map", 4, 7, 7, "producer", ()), None, Allowance(bits, (32,)))
    assert codec.describe() == {"squares": side}


def test_not_even_one_mean_a_channel() -> None:
    with pytest.raises(Unsupported, match="one mean a channel needs 128 bits; 127 are allowed"):
        GradientFilter({}).saving(FeatureMap("map", 4, 7, 7, "producer", ()), None, Allowance(127, (32,)))
