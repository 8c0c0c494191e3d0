"""Transform coding in blocks: SciPy's DCT, a coder that loses nothing, water-filling by one step, ceilings."""

import copy

import numpy
import pytest
import scipy.fft
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from actbench.codec import Allowance, Codec, Linear, MapStatistics, SideStatistics, Unsupported
from actbench.codec.linear_fit import fit_decoder
from actbench.codec.modules import build_all
from actbench.codec.packing import layout, pack, unpack
from actbench.codec.payload import LENGTH_BITS
from actbench.feature_map import FeatureMap, Operation
from actbench_plugins.pca.blocks import CodedBlocks, block_side
from actbench_plugins.pca.codec import ComponentLadder, RotatedMap
from actbench_plugins.pca.method import BlockTransformCoding, TransformCoding, rotation, steps_between
from tests.codec.gradients import gradient_of

WIDTHS = (8, 7, 6, 5, 4, 3, 2)
RELU = Operation("relu")
POOL = Operation("max_pool2d", (("kernel_size", 2),))


def smooth(images: int = 8, channels: int = 12, height: int = 16, width: int = 20, seed: int = 3) -> Tensor:
    """Channels that are mixtures of a few, each smooth in space, with a little noise and a mean."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(channels, channels, generator=torch.Generator().manual_seed(0)) * 0.6 ** torch.arange(channels)
    coarse = torch.randn(images, channels, 3, 3, generator=generator)
    values = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear", align_corners=True)
    values += 0.1 * torch.randn(values.shape, generator=generator)
    return torch.einsum("cd,ndhw->nchw", mixing, values) + 0.5


def map_of(x: Tensor, between: tuple[Operation, ...] = (RELU,)) -> tuple[FeatureMap, MapStatistics]:
    after = build_all(between)(x)
    fmap = FeatureMap("map", x.shape[1], *after.shape[2:], "producer", (), between, (x.shape[2], x.shape[3]))
    return fmap, MapStatistics.of(x, after)


def planned(x: Tensor, bits_per_value: float, between: tuple[Operation, ...] = (RELU,)) -> RotatedMap:
    fmap, stats = map_of(x, between)
    codec = BlockTransformCoding({}).codec(fmap, stats, Allowance(int(bits_per_value * fmap.elements), WIDTHS))
    assert isinstance(codec, RotatedMap)
    return codec


def stored(codec: Codec, x: Tensor) -> Tensor:
    """What a codec is given of a tensor before its nonlinearity."""
    return x if codec.side == "before" else x.relu()


@torch.no_grad()
def error_as_read(codec: Codec, x: Tensor) -> float:
    decoded = codec(stored(codec, x))
    return float(((decoded.relu() if codec.side == "before" else decoded) - x.relu()).square().sum())


@given(st.integers(1, 3), st.integers(1, 19), st.integers(1, 19), st.integers(0, 99))
def test_coefficients_are_scipys_and_nothing_is_lost(channels: int, height: int, width: int, seed: int) -> None:
    """Maps of any size, filled up with their last row and column."""
    z = torch.randn(2, channels, height, width, generator=torch.Generator().manual_seed(seed))
    rung, side = CodedBlocks(0.1, 8, z), block_side(height, width)
    filled = numpy.pad(z.numpy(), ((0, 0), (0, 0), (0, -height % side), (0, -width % side)), mode="edge")
    expected = []
    for top in range(0, height, side):
        for left in range(0, width, side):
            block = filled[:, :, top : top + side, left : left + side]
            expected.append(scipy.fft.dctn(block, axes=(2, 3), norm="ortho").reshape(2, -1))
    numpy.testing.assert_allclose(rung.coefficients(z).numpy(), numpy.stack(expected, 2), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(rung.components(rung.coefficients(z), height), z, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("size", "side"), [((32, 32), 8), ((8, 5), 8), ((7, 7), 8), ((4, 9), 4), ((2, 2), 2), ((1, 9), 1)]
)
def test_blocks_are_no_larger_than_the_map_needs(size: tuple[int, int], side: int) -> None:
    assert block_side(*size) == side


def test_magnitudes_are_cut_at_thirds() -> None:
    z = torch.tensor([-1.7, -1.6, -0.7, -0.6, 0.0, 0.6, 0.7, 1.6, 1.7]).reshape(1, 1, 9, 1)
    assert CodedBlocks(1.0, 8, z).codes(z).flatten().tolist() == [-2, -1, -1, 0, 0, 0, 1, 1, 2]


@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 20), st.integers(1, 9), st.integers(2, 9))
def test_the_coder_loses_nothing(images: int, channels: int, height: int, columns: int, width: int) -> None:
    """Tables of one image, strings of others, so that symbols escape."""
    generator = torch.Generator().manual_seed(height)
    z = 20 * torch.randn(images + 1, channels, height, columns, generator=generator)
    rung = CodedBlocks(1.0, width, z[:1] / 4)
    stream = rung.encode(z)
    assert torch.equal(rung.decode(stream, height), rung.components(rung.values(rung.codes(z)), height))
    assert torch.equal(stream.select(torch.arange(images, -1, -1)).bits, rung.encode(z.flip(0)).bits)
    assert (stream.lengths <= 1.001 * rung.costs(z) + 1).all()


@torch.no_grad()
def test_an_image_is_written_alike_in_any_batch() -> None:
    x = torch.randn(32, 32, 16, 16, generator=torch.Generator().manual_seed(3))
    codec = planned(x, 7.0)
    packed = pack(codec.encode(stored(codec, x)))
    assert all(pack(codec.encode(stored(codec, x)[index : index + 1]))[0] == packed[index] for index in range(32))


def test_coefficients_are_decoded_to_the_least_squares_shift() -> None:
    z = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    rung = CodedBlocks(1.0, 8, z)
    y, codes = rung.coefficients(z), rung.codes(z)
    for table in range(len(rung.shift)):
        inside = (rung.tables.group == table)[:, None] & (codes != 0)
        magnitudes, integers = y[inside].abs().double(), codes[inside].abs().double()
        assert float(rung.shift[table]) == pytest.approx(float((integers - magnitudes).mean()), abs=1e-5)


@torch.no_grad()
def test_one_step_is_reverse_water_filling() -> None:
    """Bands of more variance than the water level have about the same error, the others no more than their variance."""
    generator, deviations = torch.Generator().manual_seed(0), torch.tensor([8.0, 4.0, 2.0, 0.1])
    z = deviations[:, None, None] * torch.randn(64, 4, 16, 16, generator=generator)
    rung = CodedBlocks(1.0, 8, z)
    errors = (rung.values(rung.codes(z)) - rung.coefficients(z)).square().mean((0, 2)).unflatten(0, (4, -1)).mean(1)
    assert float(errors[:3].max() / errors[:3].min()) < 1.2
    assert float(errors[3]) == pytest.approx(0.01, rel=0.05)


@pytest.mark.parametrize("between", [(RELU,), (RELU, POOL), ()], ids=["relu", "pooled", "none"])
@torch.no_grad()
def test_stored_bits_are_the_formula_and_decode_from_bytes(between: tuple[Operation, ...]) -> None:
    x = smooth()
    codec = planned(x, 0.8, between)
    read = x if codec.side == "before" else build_all(between)(x)
    payload = codec.encode(torch.cat([read, 100 * read[:2], torch.zeros_like(read[:1])]))
    granules = -(-read.shape[2] // 8)
    tables = granules * codec.core.allowed.bit_length() if granules > 1 else 0
    expected = payload.lengths("stream") + LENGTH_BITS + codec.core.rung_bits + tables
    assert payload.bits_per_image().tolist() == expected.tolist()
    assert int(expected.max()) <= codec.core.allowed
    packed, decoded = pack(payload), codec.decode(payload)
    assert [len(image) for image in packed] == [-(-bits // 8) for bits in expected.tolist()]
    assert torch.equal(copy.deepcopy(codec).decode(unpack(packed, layout(payload))), decoded)


@settings(max_examples=15)
@given(st.integers(1, 9000), st.integers(1, 17), st.integers(1, 9))
def test_no_allowance_is_exceeded(bits: int, height: int, width: int) -> None:
    x = smooth(4, 4, height, width)
    fmap, stats = map_of(x)
    try:
        codec = BlockTransformCoding({}).codec(fmap, stats, Allowance(bits, WIDTHS))
    except Unsupported:
        assert bits < -(-height // 8) * (4 * 2 + bits.bit_length()) + LENGTH_BITS + 5
        return
    with torch.no_grad():
        payload = codec.encode(torch.cat([100 * x, 50 * torch.randn_like(x), torch.full_like(x, 9.0)]))
        assert int(payload.bits_per_image().max()) <= bits
        assert codec.decode(payload).isfinite().all()


def test_smooth_maps_lose_less_than_with_components_alone_and_noise_little_more() -> None:
    for x, most in ((smooth(), 0.3), (torch.randn(8, 12, 16, 20, generator=torch.Generator().manual_seed(1)), 1.1)):
        fmap, stats = map_of(x)
        components = TransformCoding({}).codec(fmap, stats, Allowance(fmap.elements, WIDTHS))
        assert error_as_read(planned(x, 1.0), x) < most * error_as_read(components, x)


@torch.no_grad()
def test_light_images_take_finer_steps_and_use_what_is_allowed() -> None:
    """Images of ten contrasts: each takes the finest step that fits, which is close to its allowance."""
    x = torch.linspace(0.3, 3, 10)[:, None, None, None] * smooth(10)
    codec = planned(x, 1.0)
    payload = codec.encode(stored(codec, x))
    rungs, bits = payload["rung"][:, 0].tolist(), payload.bits_per_image()
    assert rungs[0] < rungs[-1] == codec.core.planned
    assert not codec.fallbacks(payload).any()
    assert float((bits / codec.core.allowed).mean()) > 0.85
    alone = ComponentLadder(codec.core.rungs[codec.core.planned :], codec.core.allowed, 16, codec.decoder)
    light = codec.project(stored(codec, x))[:5]
    target = codec.decoder(light)
    assert (codec.core(light) - target).square().sum() < 0.7 * (alone(light) - target).square().sum()


def test_steps_are_a_quarter_of_an_octave_apart() -> None:
    assert steps_between(1.0, 2.0) == pytest.approx([1.0, 2**0.25, 2**0.5, 2**0.75])
    assert steps_between(3.0, 3.0) == []


def test_a_pooled_map_is_coded_behind_its_pooling() -> None:
    assert planned(smooth(), 0.8, (RELU, POOL)).side == "after"
    assert planned(smooth(), 0.8).side == "before"


def test_decoding_ends_linearly_and_a_refit_lowers_the_error() -> None:
    x = smooth()
    codec = planned(x, 0.8)
    assert isinstance(codec, Linear)
    with torch.no_grad():
        torch.testing.assert_close(codec.decoder(codec.read(x)), codec(x))
        before = float((codec(x) - x).square().sum())
        fit_decoder(codec.decoder, codec.read(x), x)
        assert float((codec(x) - x).square().sum()) < before


def test_gradients_pass_the_transform() -> None:
    """`Dᵀ·(not clipped)·D` of a single block, against the DCT of SciPy, and on the rungs of a ladder."""
    z = 40 * torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    rung, weights = CodedBlocks(1.0, 2, z / 4), torch.randn(z.shape)
    codes = rung.codes(z)
    half = 1 << (rung.width - 1)
    inner = ((codes > -half) & (codes < half - 1)).reshape(8, 8).numpy()
    assert not inner.all()
    upstream = scipy.fft.dctn(weights[0, 0].numpy(), norm="ortho") * inner
    leaf = z.clone().requires_grad_()
    (rung.straight_through(leaf) * weights).sum().backward()  # type: ignore[no-untyped-call]
    assert leaf.grad is not None
    numpy.testing.assert_allclose(
        leaf.grad[0, 0].numpy(), scipy.fft.idctn(upstream, norm="ortho"), rtol=1e-4, atol=1e-4
    )
    x = smooth()
    codec = planned(x, 0.8)
    with torch.no_grad():
        components = rotation(SideStatistics.of(x).mean, SideStatistics.of(x).covariance)[0](x)
    gradient_of(codec.core, components, torch.ones(1))
