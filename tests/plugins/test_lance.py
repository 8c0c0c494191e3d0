"""The fixed subspace against tensorly's partial Tucker decomposition, and its bits by hand."""

import itertools
from typing import Literal

import numpy
import pytest
import tensorly
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorly.decomposition import partial_tucker
from torch import Tensor, nn

from actbench.codec import Allowance, Codec, FeatureMap, MapStatistics, PlainCodec, TrainingCodec, Unsupported
from actbench.codec.packing import layout, pack, unpack
from actbench.training.layers import conv_weight_gradient
from actbench_plugins.lance.codec import FixedCore
from actbench_plugins.lance.method import FixedSubspace
from actbench_plugins.lance.subspace import best_ranks, mode_vectors, planes, projected

SHAPE = (6, 7, 8)
VALUES = 6 * 7 * 8
MAP = FeatureMap("map", *SHAPE, "producer", ())
WIDTHS = (8, 7, 6, 5, 4, 3, 2)


def images(number: int = 16, seed: int = 0) -> Tensor:
    """Smooth planes of few patterns, mixed over channels, and some noise, behind a ReLU."""
    generator = torch.Generator().manual_seed(seed)
    patterns = torch.randn(1, 3, 3, 3, generator=torch.Generator().manual_seed(9))
    smooth = nn.functional.interpolate(patterns, size=SHAPE[1:], mode="bicubic")[0]
    mixing = torch.randn(number, SHAPE[0], 3, generator=generator)
    x = torch.einsum("nca,ahw->nchw", mixing, smooth)
    return (x + 0.1 * torch.randn(x.shape, generator=generator)).relu()


def saved(bits: int, widths: tuple[int, ...] = WIDTHS, core: str = "codes") -> FixedCore:
    codec = FixedSubspace({"core": core}).saving(MAP, MapStatistics.of(images()), Allowance(bits, widths))
    assert isinstance(codec, FixedCore)
    return codec


def error(codec: Codec, x: Tensor) -> float:
    return float((codec(x) - x).detach().double().norm() / x.double().norm())


@pytest.mark.parametrize("ranks", [(2, 3, 4), (6, 1, 2), (1, 7, 8), (6, 7, 8)])
def test_floats_are_tensorlys_decomposition_with_the_images_left_alone(ranks: tuple[int, int, int]) -> None:
    x = images()
    (core, factors), _ = partial_tucker(x.double().numpy(), rank=ranks, modes=[1, 2, 3], init="svd", n_iter_max=0)
    expected = tensorly.tenalg.multi_mode_dot(core, factors, modes=[1, 2, 3])
    codec = FixedCore([v[:, :rank] for v, rank in zip(mode_vectors(x), ranks, strict=True)], PlainCodec(None))
    numpy.testing.assert_allclose(codec(x).numpy(), expected, rtol=1e-3, atol=1e-4)


def test_the_subspace_stays_for_other_images() -> None:
    """What is restored of them is their projection on the calibration images' vectors, by NumPy in fp64."""
    codec, x = saved(100 * 32, core="fp32"), images(seed=1)
    projectors = [f.double().numpy() @ f.double().numpy().T for f in (codec.channels, codec.rows, codec.columns)]
    expected = numpy.einsum("nchw,ac,bh,dw->nabd", x.double().numpy(), *projectors)
    numpy.testing.assert_allclose(codec(x).numpy(), expected, atol=1e-4)


@given(st.integers(0, 2**31), st.integers(1, 40))
@settings(max_examples=30)
def test_no_other_ranks_keep_more(seed: int, most: int) -> None:
    energy = torch.rand(3, 4, 2, generator=torch.Generator().manual_seed(seed)) ** 4
    every = itertools.product(range(1, 4), range(1, 5), range(1, 3))
    best = max(float(energy[:a, :b, :c].sum()) for a, b, c in every if a * b * c <= most)
    channels, rows, columns = best_ranks(energy, most)
    assert channels * rows * columns <= most
    assert float(energy[:channels, :rows, :columns].sum()) == pytest.approx(best, rel=1e-5)


@pytest.mark.parametrize(("core", "width"), [("codes", 8), ("codes", 3), ("fp32", 32)])
def test_the_core_alone_is_stored_and_factors_are_static_tables(core: str, width: int) -> None:
    codec, x = saved(41 * width, (width if core == "codes" else 8,), core), images(5, seed=2)
    channels, rows, columns = (int(codec.describe()[mode]) for mode in ("channels", "rows", "columns"))
    values = channels * rows * columns
    payload = codec.encode(x)
    assert payload.bits_per_image().tolist() == [width * values] * 5 <= [41 * width] * 5
    assert int(payload.bits_per_image(side_only=True).sum()) == 0
    assert torch.equal(codec.decode(unpack(pack(payload), layout(payload))), codec.decode(payload))
    tables = 6 * channels + 7 * rows + 8 * columns + (0 if core == "fp32" else values + 2)
    assert codec.static_bits() == 32 * tables


@settings(max_examples=15)
@given(st.integers(1, 4000), st.sampled_from([WIDTHS, (8,), (2,)]), st.sampled_from(["codes", "fp32"]))
def test_no_allowance_is_exceeded(bits: int, widths: tuple[int, ...], core: str) -> None:
    narrowest = 32 if core == "fp32" else min(widths)
    if bits < narrowest:
        with pytest.raises(Unsupported, match=f"a core of one value needs {narrowest} bits; {bits} are allowed"):
            saved(bits, widths, core)
        return
    assert int(saved(bits, widths, core).encode(images(3, seed=3)).bits_per_image().max()) <= bits


def test_codes_come_close_to_floats_and_lose_less_at_equal_bits() -> None:
    x, bits = images(seed=1), 2 * VALUES
    wide, floats = saved(40 * 16, (16,)), saved(40 * 32, core="fp32")
    assert error(wide, x) < 1.05 * error(floats, x)
    assert error(saved(bits), x) < 0.9 * error(saved(bits, core="fp32"), x)
    assert error(saved(bits), images()) <= min(error(saved(bits, (width,)), images()) for width in (8, 5, 3))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("padding", "groups", "mode"), [(1, 1, "zeros"), (2, 2, "zeros"), (1, 1, "circular")])
def test_a_weights_gradient_is_that_of_the_decoded_map(
    stride: int, padding: int, groups: int, mode: Literal["zeros", "circular"]
) -> None:
    torch.manual_seed(0)
    codec, x = saved(40 * 8), images(5, seed=1)
    layer = nn.Conv2d(6, 4, 3, stride, padding, dilation=2, groups=groups, padding_mode=mode)
    assert isinstance(codec, TrainingCodec)
    y = layer(codec(x).detach())
    gradient = torch.randn_like(y)
    (expected,) = torch.autograd.grad(y, layer.weight, gradient)
    ours = conv_weight_gradient(codec, codec.encode(x), gradient, layer)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)
    direct = codec.convolution_weight_gradient(codec.encode(x), gradient, layer)
    assert (direct is None) == (groups > 1 or mode != "zeros")


def test_planes_are_the_map_but_for_its_channels() -> None:
    x, vectors = images(2), mode_vectors(images())
    maps = planes(projected(x, vectors), vectors[1], vectors[2])
    torch.testing.assert_close(torch.einsum("nahw,ca->nchw", maps, vectors[0]), x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays(dtype: torch.dtype) -> None:
    x, codec = images(), saved(100 * 8)
    decoded = codec(x.to(dtype))
    assert decoded.dtype == dtype
    assert float((decoded.float() - codec(x)).detach().norm()) < 0.05 * float(x.norm())
