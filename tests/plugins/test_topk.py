"""The largest values and their mask, against NumPy and by hand."""

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from actbench.codec import Allowance, Codec, FeatureMap, MapStatistics, PlainCodec, Unsupported
from actbench.codec.packing import layout, pack, unpack
from actbench.feature_map import Operation
from actbench_plugins.topk.method import LargestValues, TopK

SHAPE = (4, 5, 7)
VALUES = 4 * 5 * 7
MAP = FeatureMap("map", *SHAPE, "producer", ())
RECTIFIED = FeatureMap("map", *SHAPE, "producer", (), between=(Operation("relu"),), source=(5, 7))
WIDTHS = (8, 7, 6, 5, 4, 3, 2)


def images(number: int = 6, seed: int = 0) -> Tensor:
    return torch.randn(number, *SHAPE, generator=torch.Generator().manual_seed(seed))


def saved(bits: int, widths: tuple[int, ...] = WIDTHS, values: str = "codes", fmap: FeatureMap = MAP) -> Codec:
    sample = images().relu() if fmap.nonnegative else images()
    return TopK({"values": values}).saving(fmap, MapStatistics.of(sample), Allowance(bits, widths))


def pruned(x: Tensor, count: int) -> numpy.ndarray:
    """All but the `count` values of largest magnitude of each image set to zero, by sorting."""
    flat: numpy.ndarray = x.double().flatten(1).numpy().copy()
    for image in flat:
        image[numpy.argsort(-numpy.abs(image), kind="stable")[count:]] = 0
    return flat.reshape(x.shape)


@pytest.mark.parametrize("count", [1, 17, VALUES])
def test_floats_are_numpys_largest_values(count: int) -> None:
    x, codec = images(seed=1), LargestValues(MAP, count, PlainCodec(None))
    payload = codec.encode(x)
    numpy.testing.assert_array_equal(codec.decode(payload).double().numpy(), pruned(x, count))
    assert payload.bits_per_image().tolist() == [VALUES + 32 * count] * 6
    assert payload.bits_per_image(side_only=True).tolist() == [VALUES] * 6


@pytest.mark.parametrize("width", [2, 5, 8])
def test_codes_are_the_largest_values_to_half_a_step(width: int) -> None:
    x = images()
    codec = saved(VALUES + width * 40, (width,))
    assert isinstance(codec, LargestValues)
    assert codec.describe() == {"values": 40, "bits": width}
    expected = pruned(x, 40)
    quantizer = codec.values.quantizer
    assert quantizer is not None
    low, high = quantizer.low.item(), quantizer.high.item()
    codes = numpy.round((numpy.clip(expected, low, high) - low) / (high - low) * (2**width - 1))
    read = numpy.where(expected != 0, codes * (high - low) / (2**width - 1) + low, 0)
    numpy.testing.assert_allclose(codec(x).detach().numpy(), read, atol=1e-5)


@pytest.mark.parametrize(("values", "width"), [("codes", 8), ("fp32", 32)])
def test_as_many_values_as_fit_are_stored_and_decode_from_bytes(values: str, width: int) -> None:
    """A bit less has one value less."""
    for bits, count in [(VALUES + 11 * width, 11), (VALUES + 11 * width - 1, 10)]:
        codec, x = saved(bits, (8,), values), images(seed=2)
        payload = codec.encode(x)
        assert {name: field.bits for name, field in payload.fields.items() if not field.side} == {
            "codes" if width == 8 else "values": width
        }
        assert payload.bits_per_image().tolist() == [VALUES + count * width] * 6
        assert [len(image) for image in pack(payload)] == [-(-(VALUES + count * width) // 8)] * 6
        assert torch.equal(codec.decode(unpack(pack(payload), layout(payload))), codec.decode(payload))


@settings(max_examples=15)
@given(st.integers(VALUES, 40 * VALUES), st.sampled_from([WIDTHS, (8,), (2,)]), st.sampled_from(["codes", "fp32"]))
def test_no_allowance_is_exceeded(bits: int, widths: tuple[int, ...], values: str) -> None:
    narrowest = 32 if values == "fp32" else min(widths)
    if bits < VALUES + narrowest:
        with pytest.raises(Unsupported, match=f"a mask and one value need {VALUES + narrowest} bits"):
            saved(bits, widths, values)
        return
    assert int(saved(bits, widths, values).encode(images(seed=3)).bits_per_image().max()) <= bits


def test_of_all_widths_the_one_that_loses_least_is_taken() -> None:
    x, bits = images(), 2 * VALUES
    errors = {widths: float((saved(bits, widths)(x) - x).norm().detach()) for widths in [WIDTHS, (8,), (4,), (2,)]}
    assert errors[WIDTHS] <= min(errors.values())


def test_zeros_stay_zeros_behind_a_relu() -> None:
    """Where fewer values than are stored differ from zero."""
    codec = saved(4 * VALUES, fmap=RECTIFIED)
    x = torch.zeros(2, *SHAPE)
    x[0, 1, 2, 3] = 1.0
    decoded = codec(x)
    assert torch.equal(decoded[1], x[1])
    assert decoded[0].count_nonzero() == 1


def test_equal_values_take_no_more_than_there_is_room_for() -> None:
    payload = saved(VALUES + 80, (8,)).encode(torch.ones(3, *SHAPE))
    assert payload["mask"].sum(1).tolist() == [10] * 3


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays(dtype: torch.dtype) -> None:
    x, codec = images(), saved(4 * VALUES)
    decoded = codec(x.to(dtype))
    assert decoded.dtype == dtype
    assert float((decoded.float() - codec(x)).detach().norm()) < 0.1 * float(x.norm())
