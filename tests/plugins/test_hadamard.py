"""The Hadamard rotation against SciPy's matrices, its folded form, and what it stores its channels in."""

import copy

import pytest
import scipy.linalg
import torch
from torch import Tensor

from actbench.budget import Bits, Budget, Ceiling
from actbench.codec import Allowance, Clipped, Linear, MapStatistics, PlainCodec, Unsupported
from actbench.codec.block_codes import BlockCodec
from actbench.feature_map import FeatureMap, Operation
from actbench.fitting.plain_maps import keeps_all_channels
from actbench.info import OptionValue
from actbench.network.calibration import collect
from actbench.network.deploy import deploy
from actbench.network.splice import splice
from actbench.network.trace import trace
from actbench.testing import Subject, conduct
from actbench.workloads.zoo.residual import ResidualNetwork
from actbench_plugins.hadamard.codec import RotatedCodec, RotatedPlainCodec
from actbench_plugins.hadamard.method import HadamardRotation
from actbench_plugins.hadamard.rotation import block_sizes, normalised, rotation
from tests.traced import in_fp64

WIDTHS = (8, 7, 6, 5, 4, 3, 2)


def method(codes: str = "plain", block: int = 0, signs: str = "random") -> HadamardRotation:
    options: dict[str, OptionValue] = {"codes": codes, "block": block, "signs": signs}
    return HadamardRotation(options)


def maps(channels: int = 32) -> Tensor:
    """One channel is much larger than the others."""
    x = torch.randn(8, channels, 6, 5, generator=torch.Generator().manual_seed(5))
    x[:, 0] *= 12
    return x.relu()


def planned(x: Tensor, a_value: float, codes: str = "plain", widths: tuple[int, ...] = WIDTHS) -> RotatedCodec:
    fmap = FeatureMap("map", x.shape[1], 6, 5, "producer", (), (Operation("relu"),))
    allowance = Allowance(int(a_value * x[0].numel()), widths)
    codec = method(codes).codec(fmap, MapStatistics.of(x), allowance)
    assert isinstance(codec, RotatedCodec)
    return codec


@pytest.mark.parametrize("size", [1, 2, 8, 64])
def test_matrices_are_scipys(size: int) -> None:
    expected = scipy.linalg.hadamard(size, dtype=float) / size**0.5
    torch.testing.assert_close(normalised(size).double(), torch.from_numpy(expected), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("channels", "most", "sizes"),
    [(64, 0, [64]), (12, 0, [8, 4]), (7, 0, [4, 2, 1]), (64, 16, [16] * 4), (48, 32, [32, 16]), (1, 16, [1])],
)
def test_blocks_are_powers_of_two(channels: int, most: int, sizes: list[int]) -> None:
    assert block_sizes(channels, most) == sizes
    matrix = rotation(channels, most, signs=False)
    expected = torch.block_diag(*(normalised(size) for size in sizes))
    assert torch.equal(matrix, expected)


@pytest.mark.parametrize("signs", [True, False])
def test_a_rotation_is_orthogonal(signs: bool) -> None:
    matrix = rotation(44, 0, signs=signs).double()
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(44, dtype=torch.float64), rtol=0, atol=1e-6)
    assert torch.equal(matrix, rotation(44, 0, signs=signs).double())


def test_random_signs_spread_what_channels_have_in_common() -> None:
    common = torch.ones(64)
    assert (rotation(64, 0, signs=False) @ common).abs().max() == 8
    assert (rotation(64, 0, signs=True) @ common).abs().max() < 4


@pytest.mark.parametrize(
    ("codes", "a_value", "core"), [("plain", 4, PlainCodec), ("mx", 4.25, BlockCodec), ("block-float", 3.5, BlockCodec)]
)
def test_bits_are_those_of_the_codes(codes: str, a_value: float, core: type) -> None:
    x = maps()
    codec = planned(x, a_value, codes)
    assert type(codec.core) is core
    with torch.no_grad():
        bits = int(codec.encode(x).bits_per_image()[0])
    assert bits <= a_value * x[0].numel()
    if codes != "block-float":
        assert bits == a_value * x[0].numel()
    error = (codec(x) - x).detach().square().mean() / x.square().mean()
    assert 0 < error < 0.05


def test_a_loud_channel_costs_plain_codes_less_when_it_is_rotated() -> None:
    x = maps()
    fmap = FeatureMap("map", 32, 6, 5, "producer", (), (Operation("relu"),))
    plain = PlainCodec.calibrated(fmap, MapStatistics.of(x), 4)
    quiet = slice(1, None)
    errors = [float((codec(x) - x)[:, quiet].detach().square().mean()) for codec in (planned(x, 4), plain)]
    assert errors[0] < 0.7 * errors[1]


def test_helped_as_others_are() -> None:
    codec, x = planned(maps(), 4), maps()
    assert isinstance(codec, Linear)
    assert isinstance(codec, Clipped)
    assert not isinstance(planned(x, 4.25, "mx"), Clipped)
    assert not keeps_all_channels(codec)
    before = float((codec(x) - x).detach().square().sum())
    codec.clip_channels(x)
    assert isinstance(codec, RotatedPlainCodec)
    assert codec.plain.quantizer is not None
    assert codec.plain.quantizer.high.shape == (32,)
    assert float((codec(x) - x).detach().square().sum()) < before
    stored = copy.deepcopy(codec)
    assert stored.plain is stored.core


@pytest.mark.parametrize("codes", ["plain", "mx", "block-float"])
def test_folded_network_equals_the_unfolded_one(codes: str) -> None:
    torch.manual_seed(0)
    network, images = in_fp64(trace(ResidualNetwork(), (3, 16, 16))), torch.randn(4, 3, 16, 16, dtype=torch.float64)
    budget = Budget(Ceiling.parse("4x"), Bits.parse("w32a2-8"))
    plan = method(codes).plan(network, collect(network, images), budget)
    assert any(isinstance(codec, RotatedCodec) for codec in plan.codecs.values())
    spliced = splice(network, {name: codec.double() for name, codec in plan.codecs.items()})
    deployed = deploy(spliced, 32, images[:1])
    with torch.no_grad():
        expected, outputs = spliced.module(images), deployed.module(images)
    assert float((outputs - expected).norm() / expected.norm()) < (1e-9 if codes == "plain" else 1e-3)
    assert not any(isinstance(codec, RotatedCodec) for codec in deployed.codecs().values())


def test_what_does_not_fit_is_unsupported() -> None:
    with pytest.raises(Unsupported, match="map needs 1920 bits at 2 bits a value; 1910 are allowed"):
        planned(maps(), 1.99)
    with pytest.raises(Unsupported, match="in blocks of 32 channels"):
        planned(maps(), 4, "mx")


def test_unquantised_it_is_the_identity() -> None:
    x = maps()
    torch.testing.assert_close(planned(x, 32, widths=(32,))(x), x, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("codes", ["mx", "block-float"])
def test_the_kit_on_other_codes(codes: str) -> None:
    checks = conduct(Subject("hadamard", {"codes": codes})).checks
    assert [check for check in checks if check.status == "failed"] == []
