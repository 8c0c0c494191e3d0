"""Floating point with coded exponents: what comes back to the bit, what it costs beside the entropy, and ceilings."""

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from actbench.codec import Allowance, MapStatistics, Unsupported
from actbench.codec.packing import layout, pack, unpack
from actbench.codec.rate_control import Ladder
from actbench.feature_map import FeatureMap, Operation
from actbench_plugins.float_lossless.codec import CodedHeads, RawWords
from actbench_plugins.float_lossless.method import FloatCoding
from actbench_plugins.float_lossless.words import HEADS, Words
from tests.plugins.strategies import floats

SHAPE = (6, 20, 12)
COUNT = 6 * 20 * 12


def maps(images: int = 6, seed: int = 0) -> Tensor:
    return torch.randn(images, *SHAPE, generator=torch.Generator().manual_seed(seed)).relu()


def planned(x: Tensor, a_value: float, widths: tuple[int, ...] = (32,)) -> Ladder:
    fmap = FeatureMap("map", *x.shape[1:], "producer", (), (Operation("relu"),))
    codec = FloatCoding({}).codec(fmap, MapStatistics.of(x), Allowance(int(a_value * COUNT), widths))
    assert isinstance(codec, Ladder)
    return codec


def entropy(image: Tensor) -> float:
    """Of sign and exponent, in bits a value."""
    heads = image.numpy().view(numpy.uint32) >> 23
    shares = numpy.bincount(heads.flatten()) / image.numel()
    shares = shares[shares > 0]
    return float(-(shares * numpy.log2(shares)).sum())


def test_fp32_comes_back_to_the_bit_in_little_more_than_its_entropy() -> None:
    x = maps()
    codec = planned(x, 20)
    payload = codec.encode(x)
    assert torch.equal(codec.decode(unpack(pack(payload), layout(payload))), x)
    for image, bits in zip(x, payload.bits_per_image().tolist(), strict=True):
        least = COUNT * entropy(image) + 23 * int((image != 0).sum())
        # Three granules: a string and a length each; one length of all, and the rung.
        assert least < bits < least * 1.01 + 3 * (24 + 16) + 32 + 3


def test_bfloat16_comes_back_to_the_bit() -> None:
    x = maps().bfloat16().float()
    codec = planned(x, 16, (16,))
    assert torch.equal(codec(x), x)
    assert torch.equal(codec(maps()), x)
    assert codec.describe()["mantissa"] == 7


@given(st.lists(floats(-(2.0**100), 2.0**100), min_size=1, max_size=40), st.sampled_from([-0.0, torch.inf, -torch.inf]))
def test_every_number_comes_back(values: list[float], special: float) -> None:
    x = torch.tensor([*values, special]).view(1, 1, 1, -1)
    fmap = FeatureMap("map", 1, 1, x.shape[3], "producer", ())
    frequency = torch.full((HEADS,), (1 << 14) // HEADS)
    for rung in (CodedHeads(fmap, Words(23), 23, frequency), RawWords(fmap, Words(23), 32)):
        decoded = rung.decode(rung.encode(x), 1)
        assert numpy.array_equal(decoded.numpy().view(numpy.uint32), x.numpy().view(numpy.uint32))


@pytest.mark.parametrize("kept", [0, 1, 6, 22])
def test_a_cut_mantissa_errs_by_half_of_what_is_cut(kept: int) -> None:
    x = maps() - 0.3
    fmap = FeatureMap("map", *SHAPE, "producer", ())
    for rung in (CodedHeads(fmap, Words(23), kept, torch.full((HEADS,), 32)), RawWords(fmap, Words(23), 9 + kept)):
        decoded = torch.cat([rung.decode(rung.encode(part), part.shape[2]) for part in x.split(1)])
        assert torch.equal(rung.straight_through(x), decoded)
        assert (rung.encode(x).lengths <= 1.001 * rung.most_bits(x) + 1).all()
        exponents = torch.frexp(x).exponent - 1
        assert ((decoded - x).abs() <= torch.ldexp(torch.ones_like(x), exponents - kept - 1)).all()


def test_zeros_cost_no_mantissa() -> None:
    x = maps()
    sparse = x * (x > 1)
    codec = planned(x, 20)
    bits = [codec.encode(each).bits_per_image() for each in (x, sparse)]
    assert (bits[0] - bits[1] > 23 * ((x > 0) & (x <= 1)).sum((1, 2, 3))).all()


def test_lengths_are_estimated_well() -> None:
    x = maps()[:, :, :8]
    rung = planned(maps(), 20).rungs[0]
    assert isinstance(rung, CodedHeads)
    torch.testing.assert_close(rung.costs(x), rung.encode(x).lengths.double(), rtol=0.002, atol=24)


@settings(max_examples=15, deadline=None)
@given(st.floats(1, 32), st.sampled_from([(32,), (16,)]))
def test_no_allowance_is_exceeded(a_value: float, widths: tuple[int, ...]) -> None:
    x, strange = maps(), torch.cat([maps(2, seed=1) * 1e9, -maps(2, seed=2).square(), torch.randn(2, *SHAPE).exp()])
    if a_value < 9:
        with pytest.raises(Unsupported, match=f"needs {9 * COUNT} bits for signs and exponents"):
            planned(x, a_value, widths)
        return
    codec = planned(x, max(a_value, 9.2), widths)
    bits = codec.encode(strange).bits_per_image()
    assert int(bits.max()) <= int(max(a_value, 9.2) * COUNT)
    assert codec(strange).isfinite().all()


def test_codes_of_fewer_bits_are_no_floating_point() -> None:
    with pytest.raises(Unsupported, match="w32a32 or a width of 16"):
        planned(maps(), 20, (8, 7))
