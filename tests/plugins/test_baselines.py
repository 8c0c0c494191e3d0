"""The two baselines: `none` and `quantize`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from actbench.budget import Bits, Budget, Ceiling
from actbench.codec import Codec, MapStatistics, Method, PlainCodec, Unsupported
from actbench.codec.packing import layout, pack, unpack
from actbench.feature_map import FeatureMap, Operation
from actbench_plugins.none.method import Uncompressed
from actbench_plugins.quantize.method import Quantize

RELU = (Operation("relu"),)
MAPS = (
    FeatureMap("large", 8, 6, 6, "conv1", (), RELU, (6, 6)),  # 288 values
    FeatureMap("signed", 16, 3, 3, "conv2", (), (), (3, 3)),  # 144
    FeatureMap("small", 4, 2, 2, "conv3", (), RELU, (2, 2)),  # 16
)


@dataclass(frozen=True)
class FakeNetwork:
    maps: tuple[FeatureMap, ...] = MAPS

    def readers(self, fmap: FeatureMap) -> Sequence[nn.Conv2d | nn.Linear]:
        return ()

    def loss(self, codecs: Mapping[str, Codec]) -> float:
        raise AssertionError("a baseline tries nothing out")


def values(fmap: FeatureMap, seed: int = 0) -> Tensor:
    x = torch.randn(6, fmap.channels, fmap.height, fmap.width, generator=torch.Generator().manual_seed(seed))
    return x.relu() if fmap.nonnegative else x


@pytest.fixture(scope="module")
def plan() -> Callable[[Method, str, str], Mapping[str, Codec]]:
    stats = {fmap.name: MapStatistics.of(values(fmap) - 9, values(fmap)) for fmap in MAPS}

    def plan(method: Method, ceiling: str, bits: str) -> Mapping[str, Codec]:
        return method.plan(FakeNetwork(), stats, Budget(Ceiling.parse(ceiling), Bits.parse(bits))).codecs

    return plan


Planner = Callable[[Method, str, str], Mapping[str, Codec]]


def stored_bits(codecs: Mapping[str, Codec]) -> list[int]:
    """Of each map, and the same for every image."""
    counted = [codecs[fmap.name].encode(values(fmap, 1)).bits_per_image().tolist() for fmap in MAPS]
    assert all(len(set(bits)) == 1 for bits in counted)
    return [bits[0] for bits in counted]


def test_none_keeps_every_value_at_any_budget(plan: Planner) -> None:
    codecs = plan(Uncompressed({}), "32x", "w8a2")
    assert stored_bits(codecs) == [288 * 32, 144 * 32, 16 * 32]
    for fmap in MAPS:
        x = values(fmap, 1)
        assert torch.equal(codecs[fmap.name](x), x)
        assert codecs[fmap.name].describe() == {"bits": 32}
        assert codecs[fmap.name].static_bits() == 0


@pytest.mark.parametrize(
    ("ceiling", "bits", "widths"),
    [
        ("4x", "w8a2-8", [8, 8, 8]),  # 288·8 bits
        ("8x", "w8a2-8", [4, 8, 8]),  # 1152 bits: 288·4; the others fit
        ("8.1x", "w8a2-8", [3, 7, 8]),  # 1137 bits: 288·3; 144·7
        ("16x", "w8a2-8", [2, 4, 8]),  # 576 bits: 288·2; 144·4
        ("16x", "w8a1-3", [2, 3, 3]),
        ("traffic:8x", "w8a2-8", [4, 4, 4]),  # the same share of each
        ("2x", "w8a16", [16, 16, 16]),
        ("1x", "w8a32", [32, 32, 32]),
    ],
)
def test_quantize_takes_the_widest_codes_that_fit(
    plan: Planner, ceiling: str, bits: str, widths: Sequence[int]
) -> None:
    codecs = plan(Quantize({}), ceiling, bits)
    assert [codecs[fmap.name].describe()["bits"] for fmap in MAPS] == widths
    stored = stored_bits(codecs)
    assert stored == [fmap.elements * width for fmap, width in zip(MAPS, widths, strict=True)]
    limit = Ceiling.parse(ceiling).limit(MAPS)
    assert (sum(stored) if ceiling.startswith("traffic") else max(stored)) <= limit


def test_quantize_at_a_width_that_does_not_fit(plan: Planner) -> None:
    with pytest.raises(Unsupported, match="large needs 2304 bits at 8 bits a value; 1152 are allowed"):
        plan(Quantize({}), "8x", "w8a8")
    with pytest.raises(Unsupported, match="large needs 576 bits at 2 bits a value; 460 are allowed"):
        plan(Quantize({}), "20x", "w8a2-8")
    with pytest.raises(Unsupported, match="large needs 9216 bits at 32 bits a value; 4608 are allowed"):
        plan(Quantize({}), "2x", "w8a32")


@pytest.mark.parametrize("fmap", MAPS, ids=lambda fmap: fmap.name)
def test_quantize_decodes_from_the_bytes_alone(plan: Planner, fmap: FeatureMap) -> None:
    x = values(fmap, 1)
    codec = plan(Quantize({}), "8x", "w8a2-8")[fmap.name]
    payload = codec.encode(x)
    decoded = plan(Quantize({}), "8x", "w8a2-8")[fmap.name].decode(unpack(pack(payload), layout(payload)))
    assert torch.equal(decoded, codec(x))
    assert codec.side == "after"


def test_quantize_spends_no_code_on_signs_that_do_not_occur(plan: Planner) -> None:
    codecs = plan(Quantize({}), "4x", "w8a2-8")
    for fmap in MAPS:
        codec = codecs[fmap.name]
        assert isinstance(codec, PlainCodec)
        assert codec.quantizer is not None
        low, high = float(codec.quantizer.low.detach()), float(codec.quantizer.high.detach())
        assert (low == 0) == fmap.nonnegative
        assert ("quantizer.low" in dict(codec.named_parameters())) != fmap.nonnegative
        # Calibrated on the map as it is read, not on its source, which lies 9 below it here.
        assert 0 < high <= float(values(fmap).max())
        # Eight bits of its own range: no error to speak of.
        x = values(fmap)
        assert float((codec(x) - x).detach().square().mean()) < 1e-3 * float(x.square().mean())


def test_wider_codes_err_less(plan: Planner) -> None:
    x = values(MAPS[0])
    codecs = [plan(Quantize({}), "4x", f"w8a{width}")["large"] for width in (1, 2, 4, 6, 8)]
    errors = [float((codec(x) - x).detach().square().sum()) for codec in codecs]
    assert all(wider < narrower / 2 for narrower, wider in pairwise(errors))
