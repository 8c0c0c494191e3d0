"""NVFP4 against ml_dtypes, 4.5 bits a value, and the scale of a map, calibrated or its own."""

import ml_dtypes
import numpy
import pytest
import torch
from torch import Tensor

from actbench.codec import Allowance, Codec, MapStatistics, Unsupported
from actbench.codec.packed_payload import PackedPayload
from actbench.codec.packing import layout, pack, unpack
from actbench.codec.rows import Rows
from actbench.feature_map import FeatureMap
from actbench.testing import Subject, conduct
from actbench_plugins.nvfp4.method import Nvfp4

WIDTHS = (8, 7, 6, 5, 4, 3, 2)


def maps(channels: int = 48, loudness: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    loud = torch.randint(-6, 4, (3, 1, 5, 7), generator=generator).float().exp2()
    return loudness * loud * torch.randn(3, channels, 5, 7, generator=generator)


def planned(x: Tensor, bits: int = 10**6, scale: str = "static", widths: tuple[int, ...] = WIDTHS) -> Codec:
    fmap = FeatureMap("map", x.shape[1], 5, 7, "producer", ())
    return Nvfp4({"scale": scale}).codec(fmap, MapStatistics.of(x), Allowance(bits, widths))


def by_ml_dtypes(block: numpy.ndarray, of_map: numpy.float32) -> tuple[int, numpy.ndarray]:
    """A scale's code and the decoded values of 16 numbers."""
    largest = numpy.abs(block).max()
    scale = numpy.clip(largest / (numpy.float32(6) * of_map), 2.0**-9, 448).astype(ml_dtypes.float8_e4m3fn)
    whole = scale.astype(numpy.float32) * of_map
    elements = numpy.clip(block / whole, -6, 6).astype(ml_dtypes.float4_e2m1fn)
    return int(scale.view(numpy.uint8)), elements.astype(numpy.float32) * whole


@pytest.mark.parametrize("scale", ["static", "image"])
def test_scales_and_values_are_those_of_ml_dtypes(scale: str) -> None:
    x = maps()
    codec = planned(x, scale=scale)
    payload = codec.encode(x)
    decoded, scales = codec.decode(payload).numpy(), payload["scales"].numpy()
    for image, group, row, column in numpy.ndindex(scales.shape):
        largest = (x if scale == "static" else x[image]).abs().max().numpy()
        place = (image, slice(16 * group, 16 * group + 16), row, column)
        code, values = by_ml_dtypes(x.numpy()[place], largest / numpy.float32(6 * 448))
        assert scales[image, group, row, column] == code
        assert numpy.array_equal(decoded[place], values)


@pytest.mark.parametrize(("scale", "beside"), [("static", 0), ("image", 32)])
def test_bits_a_value_of_whole_blocks_packed_and_unpacked(scale: str, beside: int) -> None:
    x = maps()
    codec, bits = planned(x, scale=scale), 48 * 35 * 4.5 + beside
    payload = codec.encode(x)
    assert payload.bits_per_image().tolist() == [bits] * 3
    packed = pack(payload)
    assert {len(image) for image in packed} == {bits / 8}
    assert PackedPayload.of(payload).bytes == 3 * bits / 8
    assert torch.equal(planned(x, scale=scale).decode(unpack(packed, layout(payload))), codec(x))
    with pytest.raises(Unsupported, match=f"needs {bits:.0f} bits in blocks of 16 channels; {bits - 1:.0f} are allow"):
        planned(x, int(bits) - 1, scale)
    assert torch.equal(planned(x, int(bits), scale)(x), codec(x))


def test_channels_are_padded_to_whole_blocks_and_counted() -> None:
    x = maps(channels=20)
    assert planned(x).encode(x).bits_per_image().tolist() == [35 * 2 * 72] * 3


def test_a_calibrated_scale_works_on_rows_and_is_a_table() -> None:
    static, image = planned(maps()), planned(maps(), scale="image")
    assert isinstance(static, Rows)
    assert not isinstance(image, Rows)
    assert (static.static_bits(), image.static_bits()) == (32, 0)


def test_an_images_own_scale_follows_it() -> None:
    x = maps()
    codec = planned(x, scale="image")
    assert torch.equal(codec(x * 2.0**10), codec(x) * 2.0**10)
    louder = maps(loudness=2.0**10)
    # Beyond what was calibrated, blocks' scales end.
    assert float(planned(x)(louder).abs().max()) <= float(x.abs().max()) * (1 + 2**-20)


def test_widths_without_4_bits() -> None:
    with pytest.raises(Unsupported, match="4 bits, which the widths of codes leave out"):
        planned(maps(), widths=(8,))


@pytest.mark.slow
def test_the_kit_on_an_images_own_scale() -> None:
    checks = conduct(Subject("nvfp4", {"scale": "image"})).checks
    assert [check for check in checks if check.status == "failed"] == []
