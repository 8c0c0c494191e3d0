"""Microscaling against ml_dtypes, block by block, and the bits that the specification has."""

import math

import ml_dtypes
import numpy
import pytest
import torch
from torch import Tensor

from actbench.codec import Allowance, MapStatistics, Unsupported
from actbench.codec.block_codes import BlockCodec
from actbench.codec.linear_ends import LinearEnds
from actbench.codec.packed_payload import PackedPayload
from actbench.codec.packing import layout, pack, unpack
from actbench.feature_map import FeatureMap, Reader
from actbench.info import OptionValue
from actbench_plugins.mx.method import Microscaling

FORMATS = {
    "fp8_e4m3": (8, 8, ml_dtypes.float8_e4m3fn),
    "fp8_e5m2": (8, 15, ml_dtypes.float8_e5m2),
    "fp6_e3m2": (6, 4, ml_dtypes.float6_e3m2fn),
    "fp6_e2m3": (6, 2, ml_dtypes.float6_e2m3fn),
    "fp4_e2m1": (4, 2, ml_dtypes.float4_e2m1fn),
    "int8": (8, 0, None),
}
"""Bits, largest exponent, and the type of ml_dtypes."""

WIDTHS = (8, 7, 6, 5, 4, 3, 2)


def feature_map(channels: int, readers: tuple[Reader, ...] = ()) -> FeatureMap:
    return FeatureMap("map", channels, 5, 7, "producer", readers)


def maps(channels: int = 64) -> Tensor:
    """Values of many magnitudes."""
    generator = torch.Generator().manual_seed(1)
    loud = torch.randint(-9, 9, (3, 1, 5, 7), generator=generator).float().exp2()
    return loud * torch.randn(3, channels, 5, 7, generator=generator)


def planned(x: Tensor, bits: int, widths: tuple[int, ...] = WIDTHS, form: str = "widest") -> BlockCodec:
    options: dict[str, OptionValue] = {"format": form}
    codec = Microscaling(options).codec(feature_map(x.shape[1]), MapStatistics.of(x), Allowance(bits, widths))
    assert isinstance(codec, BlockCodec)
    return codec


def by_ml_dtypes(block: numpy.ndarray, form: str) -> tuple[int, numpy.ndarray]:
    """The scale's code and the decoded values of 32 numbers, as MX v1.0 (section 6.3) has them."""
    _, largest_exponent, dtype = FORMATS[form]
    exponent = math.floor(math.log2(numpy.abs(block).max())) - largest_exponent
    scale = ml_dtypes.float8_e8m0fnu(2.0**exponent)
    scaled = (block / numpy.float32(scale)).astype(numpy.float32)
    if dtype is None:
        elements = numpy.clip(numpy.rint(scaled * 64), -127, 127) / 64
    else:
        most = float(ml_dtypes.finfo(dtype).max)  # type: ignore[no-untyped-call]
        elements = numpy.clip(scaled, -most, most).astype(dtype).astype(numpy.float32)
    return int(numpy.asarray(scale).view(numpy.uint8)), (elements * numpy.float32(scale)).astype(numpy.float32)


@pytest.mark.parametrize("form", FORMATS)
def test_scales_and_values_are_those_of_the_specification(form: str) -> None:
    x = maps()
    codec = planned(x, 10**6, form=form)
    payload = codec.encode(x)
    scales, decoded = payload["scales"].numpy(), codec.decode(payload).numpy()
    for image, group, row, column in numpy.ndindex(scales.shape):
        place = (image, slice(32 * group, 32 * group + 32), row, column)
        code, values = by_ml_dtypes(x.numpy()[place], form)
        assert scales[image, group, row, column] == code
        assert numpy.array_equal(decoded[place], values)


@pytest.mark.parametrize("form", FORMATS)
def test_bits_a_value_of_whole_blocks_packed_and_unpacked(form: str) -> None:
    x = maps()
    codec = planned(x, 10**6, form=form)
    payload = codec.encode(x)
    a_value = {"int8": 8.25, "fp4_e2m1": 4.25}.get(form, 8.25 if "fp8" in form else 6.25)
    assert payload.bits_per_image().tolist() == [64 * 35 * a_value] * 3
    packed = pack(payload)
    assert {len(image) for image in packed} == {64 * 35 * a_value / 8}
    assert torch.equal(codec.decode(unpack(packed, layout(payload))), codec(x))
    assert PackedPayload.of(payload).bytes == 3 * 64 * 35 * a_value / 8


@pytest.mark.parametrize(
    ("a_value", "widths", "bits"),
    [(9, WIDTHS, 8), (8.25, WIDTHS, 8), (8, WIDTHS, 6), (6, WIDTHS, 4), (9, (6, 5, 4), 6), (5, (4,), 4)],
)
def test_the_widest_format_that_fits_of_those_that_the_widths_allow(
    a_value: float, widths: tuple[int, ...], bits: int
) -> None:
    x = maps()
    codec = planned(x, math.floor(64 * 35 * a_value), widths)
    assert FORMATS[str(codec.describe()["format"])][0] == bits
    others = [planned(x, 10**6, widths, form) for form, (width, _, _) in FORMATS.items() if width == bits]
    errors = [float((other(x) - x).square().sum()) for other in others]
    assert float((codec(x) - x).square().sum()) == min(errors)


def test_what_does_not_fit_is_unsupported() -> None:
    with pytest.raises(Unsupported, match=f"map needs {35 * 2 * 136} bits in blocks of 32 channels; 9000 are allowed"):
        planned(maps(), 9000)
    with pytest.raises(Unsupported, match="4 or 6 or 8 bits, which the widths of codes leave out"):
        planned(maps(), 10**6, (32,))
    with pytest.raises(Unsupported, match="4 bits, which"):
        planned(maps(), 10**6, (8,), "fp4_e2m1")


def test_channels_are_padded_to_whole_blocks_and_counted() -> None:
    x = maps(channels=40)
    assert planned(x, 10**6, form="fp4_e2m1").encode(x).bits_per_image().tolist() == [35 * 2 * 136] * 3


def test_refitting_is_open_to_it_where_it_folds_and_training_saves_bare_codes() -> None:
    fmap, x = feature_map(64, (Reader("conv", "conv"),)), maps()
    method, allowance = Microscaling({"format": "widest"}), Allowance(10**6, WIDTHS)
    codec = method.codec(fmap, MapStatistics.of(x), allowance)
    assert isinstance(codec, LinearEnds)
    assert isinstance(codec.core, BlockCodec)
    assert codec.static_bits() == 64 * 64 * 32  # in its own form; folded it is gone
    assert isinstance(method.saving(fmap, MapStatistics.of(x), allowance), BlockCodec)
