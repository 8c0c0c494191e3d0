"""End points and indices: blocks by hand, both scales, the formula of the bits, rows and ceilings."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from actbench.codec import Allowance, MapStatistics, Unsupported
from actbench.codec.packing import layout, pack, unpack
from actbench.codec.quantizers import UniformQuantizer
from actbench.codec.rows import write_rows
from actbench.feature_map import FeatureMap
from actbench_plugins.asc.blocks import divide, join
from actbench_plugins.asc.codec import EndPointCodec, stored_bits
from actbench_plugins.asc.method import EndPoints

WIDTHS = (8, 7, 6, 5, 4, 3, 2)


def feature_map(channels: int = 6, height: int = 9, width: int = 10) -> FeatureMap:
    return FeatureMap("map", channels, height, width, "producer", ())


def maps(channels: int = 6, height: int = 9, width: int = 10) -> Tensor:
    return torch.randn(3, channels, height, width, generator=torch.Generator().manual_seed(4))


def planned(x: Tensor, a_value: float, widths: tuple[int, ...] = WIDTHS) -> EndPointCodec:
    allowance = Allowance(int(a_value * x[0].numel()), widths)
    codec = EndPoints({}).codec(feature_map(*x.shape[1:]), MapStatistics.of(x), allowance)
    assert isinstance(codec, EndPointCodec)
    return codec


def exact(index_bits: int, depth: int = 1) -> EndPointCodec:
    """End points in steps of 1 from 0 to 255."""
    return EndPointCodec(feature_map(depth, 4, 4), depth, index_bits, UniformQuantizer(8, 0.0, 255.0))


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 2, 4, 8]))
def test_blocks_come_back(channels: int, height: int, width: int, depth: int) -> None:
    x = maps(channels, height, width)
    blocks = divide(x, depth)
    assert blocks.shape == (3, -(-channels // depth), -(-height // 4), -(-width // 4), 16 * depth)
    assert torch.equal(join(blocks, (channels, height, width)), x)


def test_a_block_is_4_by_4_positions_of_neighbouring_channels() -> None:
    x = torch.arange(4 * 8 * 8.0).view(1, 4, 8, 8)
    assert torch.equal(divide(x, 2)[0, 1, 0, 1].sort().values, x[0, 2:4, 0:4, 4:8].flatten().sort().values)


def test_both_scales_by_hand() -> None:
    linear = torch.tensor([0.0, 80.0, 160.0, 240.0] * 4).view(1, 1, 4, 4)
    logarithmic = torch.tensor([0.0, 60.0, 120.0, 240.0] * 4).view(1, 1, 4, 4)
    codec = exact(2)
    assert torch.equal(codec(linear), linear)
    assert torch.equal(codec(logarithmic), logarithmic)
    assert codec.encode(torch.cat([linear, logarithmic]))["scale"].flatten().tolist() == [0, 1]


def test_the_nearest_point_is_taken_of_the_better_scale() -> None:
    x = 240 * torch.rand(1, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    low, high = (float(end.round()) for end in x.aminmax())
    scales = ([0, 1 / 7, 2 / 7, 3 / 7, 4 / 7, 5 / 7, 6 / 7, 1], [0, 1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1])
    errors = []
    for points in scales:
        values = [low + point * (high - low) for point in points]
        errors.append(sum(min((value - each) ** 2 for value in values) for each in x.flatten().tolist()))
    assert float((exact(3)(x) - x).square().sum()) == pytest.approx(min(errors), rel=1e-4)


@pytest.mark.parametrize("depth", [1, 4])
def test_stored_bits_are_the_formula_and_decode_from_bytes(depth: int) -> None:
    x = maps()
    codec = EndPointCodec(feature_map(), depth, 3, UniformQuantizer(6, -3.0, 3.0))
    payload = codec.encode(x)
    bits = -(-6 // depth) * 3 * 3 * (2 * 6 + 1 + 16 * depth * 3)
    assert payload.bits_per_image().tolist() == [bits] * 3
    assert stored_bits(feature_map(), depth, 3, 6) == bits
    packed = pack(payload)
    assert {len(image) for image in packed} == {-(-bits // 8)}
    assert torch.equal(codec.decode(unpack(packed, layout(payload))), codec(x))


def test_rows_are_those_of_the_whole_map() -> None:
    x, codec = maps(), planned(maps(), 6)
    head, stripes, bits = write_rows(codec, x, [4, 5])
    assert torch.equal(torch.cat([codec.decode_rows(stripe, head) for stripe in stripes], 2), codec(x))
    assert torch.equal(bits, codec.encode(x).bits_per_image())


@settings(max_examples=25, deadline=None)
@given(st.floats(0.5, 12), st.sampled_from([WIDTHS, (8,), (4,)]))
def test_no_allowance_is_exceeded(a_value: float, widths: tuple[int, ...]) -> None:
    x = maps(16, 8, 8)
    least = min(stored_bits(feature_map(16, 8, 8), depth, widths[-1], widths[0]) for depth in (1, 2, 4, 8, 16))
    if int(a_value * 1024) < least:
        with pytest.raises(Unsupported, match=f"needs {least} bits in blocks"):
            planned(x, a_value, widths)
        return
    codec = planned(x, a_value, widths)
    assert int(codec.encode(10 * x).bits_per_image().max()) <= int(a_value * 1024)


def test_the_paper_rate_of_4_at_16_bits() -> None:
    """A quarter of 16 bits a value holds indices of 3 bits in blocks of two channels, or four."""
    codec = planned(maps(16, 8, 8), 4)
    assert (codec.index_bits, codec.ends.width) == (3, 8)


def test_gradients_pass_straight_and_values_are_those_of_the_codes() -> None:
    x = maps().requires_grad_()
    codec = planned(maps(), 6)
    decoded = codec(x)
    assert torch.equal(decoded.detach(), codec(x.detach()))
    weights = maps().exp()
    (decoded * weights).sum().backward()
    assert torch.equal(x.grad, weights)  # type: ignore[arg-type]


def test_unquantised_is_unsupported() -> None:
    with pytest.raises(Unsupported, match="at most 16 bits"):
        planned(maps(), 32, (32,))
