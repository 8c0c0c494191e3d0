"""WCC against PyWavelets, against its own formula of bits, and against decode-then-convolve."""

import copy
import itertools

import pytest
import pywt
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from actbench import MethodInfo, UserError
from actbench.budget import Bits, Budget, Ceiling
from actbench.codec import Allowance, Codec, MapStatistics, PlainCodec, Unsupported
from actbench.codec.packing import layout, pack, unpack
from actbench.feature_map import FeatureMap
from actbench.network.calibration import collect
from actbench.network.trace import trace
from actbench.recipe import RecipeName
from actbench_plugins.wcc import haar, register_methods
from actbench_plugins.wcc.codec import WaveletCodec
from actbench_plugins.wcc.method import WaveletCompression, most_kept
from actbench_plugins.wcc.positions import choose, from_field, side_bits, to_field
from actbench_plugins.wcc.quantizer import ZeroQuantizer
from actbench_plugins.wcc.striped import StripedWaveletCodec
from actbench_plugins.wcc.transforms import build
from tests.plugins.strategies import floats

sides = st.integers(1, 20)


def feature_map(channels: int, height: int, width: int) -> FeatureMap:
    return FeatureMap("map", channels, height, width, "producer", (), source=(height, width))


def smooth(count: int, channels: int, height: int, width: int) -> torch.Tensor:
    """Maps with structure, not negative, as after a ReLU."""
    small = torch.randn(count, channels, 4, 4, generator=torch.Generator().manual_seed(1))
    return nn.functional.interpolate(small, size=(height, width), mode="bicubic").relu()


def plane(height: int, width: int) -> tuple[int, int]:
    """Positions of the padded plane, and the narrowest width that is tried."""
    padded = haar.padded_size(height, width, haar.usable_levels(height, width, 3))
    return padded[0] * padded[1], 2


def planned(
    x: torch.Tensor, bits: int, widths: tuple[int, ...] = (8, 7, 6, 5, 4, 3, 2), **options: int | str
) -> WaveletCodec:
    chosen = {"levels": 3, "wavelet": "haar", "selection": "joint", "where": "all"} | options
    codec = WaveletCompression(chosen).codec(feature_map(*x.shape[1:]), MapStatistics.of(x), Allowance(bits, widths))
    assert isinstance(codec, WaveletCodec)
    return codec


def test_positions_are_chosen_jointly_over_channels_and_for_each_image() -> None:
    y = torch.zeros(2, 2, 4)
    y[0, 0] = torch.tensor([3.0, 0.0, 0.0, 2.9])  # alone, channel 0 would take 0 and 3
    y[0, 1] = torch.tensor([0.0, 4.0, 0.0, 2.0])  # energies 9, 16, 0, 12.4
    y[1, 0] = torch.tensor([0.0, 0.0, 1.0, 1.0])
    assert choose("joint", y, 2, build("none", 2, 2, 0)).tolist() == [[[1, 3]], [[2, 3]]]


@pytest.mark.parametrize("selection", ["joint", "channel", "low", "random"])
def test_exported_values_are_those_that_are_stored(selection: str) -> None:
    x = smooth(3, 6, 12, 10)
    codec = planned(x, 6 * 12 * 10 * 2, selection=selection)
    with torch.no_grad():
        torch.testing.assert_close(codec.encode_values(x)["values"], codec(x))


@given(st.integers(1, 300), st.data())
def test_positions_survive_their_field(positions: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, positions))
    index = torch.stack([torch.randperm(positions)[:count].sort().values for _ in range(2)])[:, None]
    field = to_field(index, positions)
    assert field.bits_per_image().tolist() == [side_bits("joint", 3, count, positions)] * 2
    assert torch.equal(from_field(field.values, count, positions), index)


@pytest.mark.parametrize("size", [(1, 1, 1), (3, 5, 7), (8, 16, 16), (4, 9, 30)])
@pytest.mark.parametrize("width", [2, 8, 32])
def test_stored_bits_are_the_formula_and_decode_from_bytes(size: tuple[int, int, int], width: int) -> None:
    x = torch.randn(3, *size)
    codec = planned(x, 40 * x[0].numel(), (width,))
    payload = codec.encode(x)
    expected = size[0] * codec.count * width + side_bits("joint", 0, codec.count, codec.transform.positions)
    assert payload.bits_per_image().tolist() == [expected] * 3
    packed = pack(payload)
    assert {len(image) for image in packed} == {-(-expected // 8)}
    restored = unpack(packed, layout(payload))
    assert torch.equal(copy.deepcopy(codec).decode(restored), codec.decode(payload))


@settings(max_examples=30, deadline=None)
@given(sides, sides, st.integers(1, 6), st.integers(20, 6000))
def test_no_allowance_is_exceeded_and_none_is_wasted(height: int, width: int, channels: int, bits: int) -> None:
    x = torch.randn(2, channels, height, width)
    if most_kept("joint", channels, *plane(height, width), bits) == 0:
        with pytest.raises(Unsupported, match=f"{bits} are allowed"):
            planned(x, bits)
        return
    codec = planned(x, bits)
    stored = int(codec.encode(x).bits_per_image()[0])
    assert stored <= bits
    one_more = channels * (codec.count + 1) * codec.describe()["bits"] + side_bits(
        "joint", 0, codec.count + 1, codec.transform.positions
    )
    assert codec.count == codec.transform.positions or one_more > bits


@pytest.mark.parametrize("widths", [(8,), (4,), (2,), (32,), (8, 7, 6, 5, 4, 3, 2)])
@pytest.mark.parametrize("factor", [6, 16, 50])
def test_every_image_holds_the_allowance_and_its_bytes_are_the_bits(factor: int, widths: tuple[int, ...]) -> None:
    x = smooth(3, 8, 10, 14)
    allowed = x[0].numel() * 32 // factor
    payload = planned(x, allowed, widths).encode(x)
    bits = payload.bits_per_image().tolist()
    assert max(bits) <= allowed
    assert [len(image) for image in pack(payload)] == [-(-image // 8) for image in bits]


def test_everything_kept_without_quantisation_is_the_identity() -> None:
    x = torch.randn(2, 3, 5, 11)
    torch.testing.assert_close(planned(x, 10**6, (32,))(x), x)


def test_dropped_positions_cost_exactly_their_energy() -> None:
    x = torch.randn(1, 4, 8, 8)
    codec = planned(x, 4 * 20 * 32 + 64, (32,))
    energies = haar.forward(x, 3).square().sum(1)[0].sort(descending=True).values
    torch.testing.assert_close((codec(x) - x).square().sum(), energies[codec.count :].sum())


def test_error_does_not_grow_with_the_allowance() -> None:
    x = smooth(4, 8, 16, 16)
    with torch.no_grad():
        errors = [float((planned(x, bits)(x) - x).square().sum()) for bits in (600, 1200, 2400, 4800, 9600)]
    assert errors == sorted(errors, reverse=True)


def test_top_k_beats_the_same_without_the_transform_on_smooth_maps() -> None:
    x = smooth(4, 8, 16, 16)
    codec = planned(x, 8 * 32 * 32 + 256, (32,))
    energies = x.square().sum(1).flatten(1).sort(1, descending=True).values
    assert float((codec(x) - x).square().sum()) < 0.5 * float(energies[:, codec.count :].sum())


@pytest.mark.parametrize("bias", [True, False])
def test_convolving_what_is_stored_equals_decoding_first(bias: bool) -> None:
    x = smooth(3, 6, 9, 13)
    codec, convolution = planned(x, 3000), nn.Conv2d(6, 10, 1, bias=bias)
    payload = codec.encode(x)
    with torch.no_grad():
        direct = codec.convolve(payload, convolution)
        torch.testing.assert_close(direct, convolution(codec.decode(payload)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("arguments", [{"stride": 2}, {"groups": 2}, {"padding": 1}, {"kernel_size": 3}])
def test_other_convolutions_are_declined(arguments: dict[str, int]) -> None:
    x = smooth(1, 6, 8, 8)
    codec = planned(x, 2000)
    assert codec.convolve(codec.encode(x), nn.Conv2d(6, 4, **({"kernel_size": 1} | arguments))) is None


def test_gradients_reach_kept_positions_only() -> None:
    x = smooth(1, 2, 8, 8).requires_grad_()
    codec = planned(x.detach(), 2 * 10 * 8 + 60, (8,))
    codec(x).square().sum().backward()
    gradient = haar.forward(x.grad, 3)
    kept = choose("joint", haar.forward(x.detach(), 3), codec.count, codec.transform)[:, 0]
    dropped = torch.ones(64, dtype=torch.bool)
    dropped[kept[0]] = False
    assert gradient[0][:, dropped].abs().max() < 1e-6
    assert gradient[0][:, kept[0]].abs().max() > 1e-3
    assert codec.quantizer is not None
    assert codec.quantizer.high.grad is not None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_and_is_close(dtype: torch.dtype) -> None:
    x = smooth(2, 4, 10, 6)
    codec = planned(x, 1500)
    decoded = codec.to(dtype)(x.to(dtype))
    assert decoded.dtype == dtype
    assert (decoded.float() - x).square().mean() < 0.05 * x.square().mean()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_holds_where_its_coefficients_would_overflow(dtype: torch.dtype) -> None:
    x = 9000 + 3000 * smooth(2, 4, 16, 16).clamp_max(1)  # in the coarsest band 8 times that, and fp16 ends at 65504
    codec = planned(x, 10**5, (8,))
    convolution = nn.Conv2d(4, 3, 1).to(dtype)
    with torch.no_grad():
        payload = codec.encode(x.to(dtype))
        decoded, direct = codec.decode(payload), codec.convolve(payload, convolution)
        assert direct is not None
        assert decoded.dtype == direct.dtype == dtype
        assert (decoded.float() - x).abs().max() < 0.05 * x.max()
        expected = convolution.float()(decoded.float())
        assert (direct.float() - expected).abs().max() < 0.02 * expected.abs().max()


@given(floats(-50, 50), floats(-50, 50), st.integers(1, 8), floats(-60, 60))
def test_the_grid_is_the_clip_moved_by_half_a_step_at_most(low: float, high: float, width: int, x: float) -> None:
    assume(high - low > 1e-3)
    quantizer = ZeroQuantizer(width, low, high)
    step = (high - low) / (2**width - 1)
    codes = torch.arange(2.0**width)
    with torch.no_grad():
        values = quantizer.decode(codes)
        assert torch.equal(quantizer.encode(values), codes)
        assert (values - (low + step * codes)).abs().max() <= step / 2 + 1e-4
        nearest = values[(values - x).abs().argmin()]
        decoded = quantizer(torch.tensor([x]))
        assert abs(float(decoded) - x) <= abs(float(nearest) - x) + 1e-4
        zero = quantizer(torch.zeros(1))
        assert float(zero) == 0 if low < 0 < high else float(zero) == pytest.approx(min(max(0, low), high), abs=1e-4)
    assert torch.equal(quantizer(torch.tensor([x])), decoded), "with gradients it is the same"


@pytest.mark.parametrize("clips", [False, True])
def test_zero_is_zero_at_every_step_of_training(clips: bool) -> None:
    x = smooth(4, 8, 16, 16)
    codec = planned(x, 8 * 64 * 3 + 256, (3,))
    if clips:
        codec.clip_channels(x)
    quantizer = codec.quantizer
    assert quantizer is not None
    assert quantizer.high.shape == ((8,) if clips else ())
    optimizer = torch.optim.SGD(codec.parameters(), lr=0.05)
    ends, nothing = set(), torch.zeros(1, 8, 1)
    for _ in range(8):
        ends.add(float(quantizer.high.detach().sum()))
        has_zero = ((quantizer.low < 0) & (quantizer.high > 0)).expand(8)
        assert has_zero.any()
        assert (quantizer(nothing)[0, has_zero, 0] == 0).all()
        optimizer.zero_grad()
        (codec(x) - 1.1 * x).square().mean().backward()
        optimizer.step()
    assert len(ends) == 8, "the clip is learned"


def test_the_clips_gradient_is_pacts() -> None:
    """By hand, 2 bits between -1.2 and 3.3: the step is 1.5, and the grid -1.5, 0, 1.5, 3."""
    quantizer = ZeroQuantizer(2, -1.2, 3.3)
    x = torch.tensor([-4.0, -1.5, -1.4, 0.7, 2.9, 3.0, 3.2], requires_grad=True)
    decoded = quantizer(x)
    assert decoded.tolist() == pytest.approx([-1.5, -1.5, -1.5, 0, 3, 3, 3])
    (decoded * torch.tensor([1.0, 2, 4, 8, 16, 32, 64])).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 0, 4, 8, 16, 0, 0]
    assert quantizer.high.grad == 32 + 64, "1 where x is at the upper end or beyond, as the authors' one clip has it"
    assert quantizer.low.grad == 1 + 2, "and at the lower end"


def test_one_clip_at_both_ends_has_the_gradient_of_the_authors_clip() -> None:
    """Signed, y = clip(x, -a, a): ∂y/∂a is 1 where x ≥ a, -1 where x ≤ -a, and 0 between."""
    clip = torch.tensor(2.0, requires_grad=True)
    quantizer = ZeroQuantizer(3, -1.5, 2.0)  # step 0.5: zero has a code
    x = torch.tensor([-3.0, -1.6, -1.0, 0.2, 1.9, 2.0, 5.0])
    weights = torch.tensor([1.0, 2, 4, 8, 16, 32, 64])
    (quantizer(x) * weights).sum().backward()
    y = torch.where(x >= clip, clip, torch.where(x <= -clip + 0.5, -clip + 0.5, x))
    (y * weights).sum().backward()
    assert clip.grad == (32 + 64) - (1 + 2)
    assert quantizer.high.grad is not None
    assert quantizer.low.grad is not None
    assert quantizer.high.grad - quantizer.low.grad == clip.grad


def test_ends_that_learning_moved_past_each_other_still_give_codes() -> None:
    quantizer = ZeroQuantizer(3, 1.0, -1.0)
    codes = quantizer.encode(torch.linspace(-5, 5, 41))
    assert set(codes.tolist()) <= set(range(8))
    quantizer(torch.linspace(-5, 5, 41)).sum().backward()
    assert quantizer.high.grad != 0


def test_memory_layout_does_not_matter() -> None:
    x = smooth(2, 4, 8, 8)
    codec = planned(x, 1500)
    expected = codec(x)
    assert torch.equal(codec(x.contiguous(memory_format=torch.channels_last)), expected)
    assert torch.equal(codec(x.transpose(2, 3).contiguous().transpose(2, 3)), expected)


@pytest.mark.parametrize("value", [0.0, 2.5])
def test_constant_maps(value: float) -> None:
    x = torch.full((2, 3, 8, 8), value)
    torch.testing.assert_close(planned(x, 1000)(x), x, atol=0.05, rtol=0.05)


def test_levels_follow_the_option_and_small_maps_take_fewer() -> None:
    x = torch.randn(1, 2, 16, 16)
    assert planned(x, 2000, levels=1).describe()["levels"] == 1
    assert planned(torch.randn(1, 2, 3, 16), 2000).transform.levels == 2


@pytest.mark.parametrize("wavelet", ["db2", "sym4", "coif1", "bior2.2", "haar"])
@pytest.mark.parametrize("size", [(16, 24), (13, 9), (4, 4)])
def test_other_wavelets_restore_every_border(wavelet: str, size: tuple[int, int]) -> None:
    transform = build(wavelet, *size, 3)
    x = haar.pad(torch.randn(2, 3, *size), transform.levels)
    torch.testing.assert_close(transform.inverse(transform(x)), x, rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore:Level value")  # all of it is at a border, which is the point
@pytest.mark.parametrize("wavelet", ["db2", "sym4", "bior2.2"])
def test_other_wavelets_equal_pywavelets(wavelet: str) -> None:
    x = torch.randn(1, 2, 32, 16)
    low, *details = pywt.wavedec2(x.double().numpy(), wavelet, mode="periodization", level=2)
    expected = torch.cat([torch.from_numpy(band).flatten(2) for band in (low, *itertools.chain(*details))], 2)
    torch.testing.assert_close(build(wavelet, 32, 16, 2)(x).double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("selection", ["joint", "channel", "low", "random"])
def test_controls_hold_the_allowance_and_count_their_positions(selection: str) -> None:
    x = smooth(3, 6, 12, 10)
    codec = planned(x, 2500, selection=selection)
    payload = codec.encode(x)
    width, positions = int(codec.describe()["bits"]), codec.transform.positions
    expected = 6 * codec.count * width + side_bits(selection, 6, codec.count, positions)
    assert payload.bits_per_image().tolist() == [expected] * 3
    assert expected <= 2500
    assert torch.equal(copy.deepcopy(codec).decode(unpack(pack(payload), layout(payload))), codec.decode(payload))


def test_controls_at_equal_count_rank_as_they_must() -> None:
    """Each channel's own choice has the least error, then the joint one; random has the most."""
    x = smooth(4, 8, 16, 16)
    transform = build("haar", 16, 16, 3)
    errors = {}
    for selection in ("channel", "joint", "low", "random"):
        codec = WaveletCodec(feature_map(8, 16, 16), transform, selection, 40, None)
        errors[selection] = float((codec(x) - x).square().sum())
    assert errors["channel"] <= errors["joint"] <= errors["low"] < errors["random"]


class Narrow(nn.Module):
    """Maps that a 1×1 convolution reads, a depthwise one, and both a 1×1 and a 3×3 one, each 8×16×16."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.point = nn.Conv2d(8, 8, 1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.ends = nn.ModuleList([nn.Conv2d(8, 2, 1), nn.Conv2d(8, 2, 3, padding=1)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.point(self.stem(x).relu()).relu()
        x = self.depthwise(x).relu()
        return torch.cat([end(x).mean((2, 3)) for end in self.ends], 1)


def plan_pointwise(ceiling: str) -> tuple[dict[str, Codec], dict[str, MapStatistics]]:
    torch.manual_seed(0)
    network = trace(Narrow(), (3, 16, 16))
    stats = collect(network, torch.randn(4, 3, 16, 16))
    options: dict[str, int | str] = {"levels": 3, "wavelet": "haar", "selection": "joint", "where": "pointwise"}
    budget = Budget(Ceiling.parse(ceiling), Bits.parse("w8a2-8"))
    return dict(WaveletCompression(options).plan(network, stats, budget).codecs), stats


def test_where_pointwise_other_maps_are_plain() -> None:
    codecs, stats = plan_pointwise("8x")
    assert {name: type(codec) for name, codec in codecs.items()} == {
        "point": StripedWaveletCodec,
        "depthwise": PlainCodec,
        "ends.0": PlainCodec,
    }
    assert codecs["depthwise"].describe() == {"bits": 4}
    sample = stats["point"].after.sample
    assert int(codecs["point"].encode(sample).bits_per_image()[0]) <= 8 * 16 * 16 * 32 / 8


def test_where_pointwise_other_maps_that_do_not_fit_say_why() -> None:
    reason = "depthwise: not only 1×1 convolutions read it, and in plain codes it needs 4096 bits; 2048 are allowed"
    with pytest.raises(Unsupported, match=reason):
        plan_pointwise("32x")


def test_levels_are_checked_before_a_run() -> None:
    registered: list[MethodInfo] = []
    register_methods(registered.append)
    levels = next(option for option in registered[0].options if option.name == "levels")
    assert levels.parse("0") == 0
    with pytest.raises(UserError, match="levels"):
        levels.parse("-1")


def test_an_unknown_wavelet_is_the_users_error() -> None:
    with pytest.raises(UserError, match=r"wcc\.wavelet='dbx'"):
        planned(torch.randn(1, 2, 8, 8), 2000, wavelet="dbx")


def test_operations_are_the_papers() -> None:
    codec = planned(torch.randn(1, 2, 16, 16), 2000)
    assert codec.operations((2, 16, 16)) == 2 * 42 * 2 * 256


def test_most_kept_at_the_bounds() -> None:
    assert most_kept("joint", 4, 64, 8, 31) == 0
    assert most_kept("joint", 4, 64, 8, 4 * 8 + 6) == 1
    assert most_kept("joint", 4, 64, 8, 10**9) == 64


def test_a_gradual_schedule_goes_from_all_positions_to_the_planned_ones() -> None:
    codec = WaveletCodec(feature_map(8, 16, 16), build("haar", 16, 16, 3), "joint", 40, None)
    x = torch.randn(2, 8, 16, 16, generator=torch.Generator().manual_seed(0))
    errors = []
    for progress in (0.0, 0.5, 1.0):
        codec.approach(progress)
        errors.append(float((codec(x) - x).square().sum()))
    assert errors[0] < 1e-6 < errors[1] < errors[2]
    assert codec.encode(x)["kept"].shape == (2, 8, 40)


def test_when_the_schedule_is_gradual() -> None:
    def gradual(schedule: str, recipe: RecipeName) -> bool:
        return WaveletCompression({"schedule": schedule}).recipe(recipe).gradual

    assert not gradual("planned", "protocol")
    assert gradual("planned", "paper")
    assert gradual("gradual", "protocol")


@pytest.mark.parametrize("selection", ["joint", "channel", "low"])
def test_clips_of_channels_have_a_code_for_zero_and_less_error(selection: str) -> None:
    scales = torch.tensor([0.05, 0.3, 1.0, 6.0])[:, None, None]
    x = nn.functional.avg_pool2d(torch.randn(8, 4, 16, 16), 3, 1, 1) * scales
    fmap = FeatureMap("map", 4, 16, 16, "producer", (), (), (16, 16))
    options = {"levels": 2, "wavelet": "haar", "selection": selection, "schedule": "planned", "where": "all"}
    codec = WaveletCompression(options).codec(fmap, MapStatistics.of(x), Allowance(4 * 256 * 2, (4,)))
    with torch.no_grad():
        before = (codec(x) - x).square().mean((0, 2, 3))
        codec.clip_channels(x)
        after = (codec(x) - x).square().mean((0, 2, 3))
        assert float(codec.quantizer(torch.zeros(1, 4, 1)).abs().max()) < 1e-6
    assert bool((after[:2] < before[:2]).all())
    assert codec.encode(x).bits_per_image().tolist() == codec.encode(-x).bits_per_image().tolist()
