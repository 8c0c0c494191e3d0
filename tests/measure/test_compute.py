"""MACs and bit operations against hand counts."""

import warnings
from collections.abc import Mapping

import numpy
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actbench.budget import Bits
from actbench.codec import Codec, Folded, Payload, PlainCodec, UniformQuantizer, floating, unsigned
from actbench.errors import Unsupported
from actbench.feature_map import FeatureMap
from actbench.measure.compute import count
from actbench.network.deploy import deploy
from actbench.network.splice import splice
from actbench.network.trace import TracedNetwork, trace

SIZE = (3, 8, 8)


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.depthwise = nn.Conv2d(4, 4, 3, 2, 1, groups=4)
        self.point = nn.Conv2d(4, 6, 1)
        self.head = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        x = F.relu(self.point(F.relu(self.depthwise(x))))
        return self.head(x.mean((2, 3)))


STEM, DEPTHWISE, POINT, HEAD = 64 * 3 * 4 * 9, 16 * 4 * 9, 16 * 4 * 6, 6 * 5


@pytest.fixture
def network() -> TracedNetwork:
    torch.manual_seed(0)
    return trace(Tiny(), SIZE)


def plain(width: int) -> PlainCodec:
    return PlainCodec(UniformQuantizer(width, 0, 1, nonnegative=True))


def operations(network: TracedNetwork, codecs: Mapping[str, Codec], weights: int) -> int:
    deployed = deploy(splice(network, codecs), weights, torch.zeros(1, *SIZE))
    return count(deployed.module, torch.rand(1, *SIZE), Bits(weights, 2, 8)).bit_operations


def test_macs_of_one_image(network: TracedNetwork) -> None:
    counts = count(network.module, torch.zeros(1, *SIZE))
    assert counts.macs == {"stem": STEM, "depthwise": DEPTHWISE, "point": POINT, "head": HEAD}
    assert counts.total == STEM + DEPTHWISE + POINT + HEAD


def test_bit_operations_in_fp32(network: TracedNetwork) -> None:
    assert operations(network, {}, 32) == 32 * 32 * (STEM + DEPTHWISE + POINT + HEAD)


def test_bit_operations_of_w4_with_4_and_2_bits(network: TracedNetwork) -> None:
    """The image has 8 bits; the ends keep 8 bits of weights; what the head reads is not stored."""
    found = operations(network, {"depthwise": plain(4), "point": plain(2)}, 4)
    assert found == 8 * 8 * STEM + 4 * 4 * DEPTHWISE + 4 * 2 * POINT + 8 * 32 * HEAD


def test_bit_operations_of_w8_with_one_map_left_in_fp32(network: TracedNetwork) -> None:
    found = operations(network, {"depthwise": plain(4), "point": PlainCodec(None)}, 8)
    assert found == 8 * 8 * STEM + 8 * 4 * DEPTHWISE + 8 * 32 * POINT + 8 * 32 * HEAD


class Costly(Codec):
    """Ends that are convolutions, which a FLOP counter sees, and a thousand operations that it does not."""

    def __init__(self, fmap: FeatureMap, *, folds: bool = False) -> None:
        super().__init__()
        self.folds = folds
        self.project = nn.Conv2d(fmap.channels, 2, 1)
        self.expand = nn.Conv2d(2, fmap.channels, 1, bias=False)

    def encode(self, x: Tensor) -> Payload:
        return Payload(values=floating(self.project(x)))

    def decode(self, payload: Payload) -> Tensor:
        return self.expand(payload["values"])

    def operations(self, shape: tuple[int, int, int]) -> int:
        return 1000 * shape[0] + shape[1]

    def fold(self) -> Folded | None:
        return Folded(PlainCodec(None), self.project, self.expand) if self.folds else None


def test_a_codecs_own_operations_count(network: TracedNetwork) -> None:
    """Its MACs by the rule for all: 8 bits of weights and fp32 values, 4·2 channels before and behind what is stored,
    on 4×4 positions."""
    found = operations(network, {"point": Costly(network.maps[1])}, 8)
    layers = 8 * 8 * STEM + 8 * 32 * (DEPTHWISE + POINT + HEAD)
    assert found == layers + 1000 * 4 + 4 + 8 * 32 * 2 * (16 * 4 * 2)


def test_what_folds_costs_less(network: TracedNetwork) -> None:
    """The projection stays behind the ReLU as an explicit 1×1 convolution; the expansion halves `point`."""
    found = operations(network, {"point": Costly(network.maps[1], folds=True)}, 8)
    explicit = 16 * 4 * 2
    assert found == 8 * 8 * STEM + 8 * 32 * (DEPTHWISE + explicit + POINT // 2 + HEAD)


class Expanding(Codec):
    """Two channels in codes of some bits, and a 1×1 convolution behind them."""

    def __init__(self, quantizer: UniformQuantizer) -> None:
        super().__init__()
        self.core = PlainCodec(quantizer)
        self.expand = nn.Conv2d(2, 4, 1, bias=False)

    def encode(self, x: Tensor) -> Payload:
        return self.core.encode(x[:, :2])

    def decode(self, payload: Payload) -> Tensor:
        return self.expand(self.core.decode(payload))


class Strings(Expanding):
    """The same codes as a string of bits, which Python writes and reads."""

    def encode(self, x: Tensor) -> Payload:
        codes = self.core.encode(x[:, :2])["codes"].flatten(1).int()
        bits = torch.tensor([[code >> place & 1 for code in image for place in range(8)] for image in codes.tolist()])
        return Payload(stream=unsigned(bits.flatten(), 1, lengths=torch.full((len(x),), bits.shape[1])))

    def decode(self, payload: Payload) -> Tensor:
        assert self.core.quantizer is not None
        bits = numpy.array(payload["stream"].tolist()).reshape(payload.batch, 2, 4, 4, 8)
        codes = torch.from_numpy((bits << numpy.arange(8)).sum(-1)).float()
        return self.expand(self.core.quantizer.decode(codes))


@pytest.mark.parametrize("width", [4, 8])
@pytest.mark.parametrize("weights", [4, 8])
def test_a_convolution_in_a_codec_counts_like_one_in_the_network(
    network: TracedNetwork, weights: int, width: int
) -> None:
    """It reads stored codes; what it computes is fp32."""
    codec = Expanding(UniformQuantizer(width, 0, 1, nonnegative=True))
    layers = 8 * 8 * STEM + 32 * (weights * (DEPTHWISE + POINT) + 8 * HEAD)
    assert operations(network, {"point": codec}, weights) == layers + weights * width * 16 * 2 * 4


def test_codes_from_a_string_of_bits_have_the_widest_width(network: TracedNetwork) -> None:
    codec = Strings(UniformQuantizer(8, 0, 1, nonnegative=True))
    layers = 8 * 8 * STEM + 8 * 32 * (DEPTHWISE + POINT + HEAD)
    assert operations(network, {"point": codec}, 8) == layers + 8 * 8 * 16 * 2 * 4


class Transformed(PlainCodec):
    """Codes of sums and differences of channels: what is decoded is no code."""

    def encode(self, x: Tensor) -> Payload:
        return super().encode(torch.cat([x[:, :2] + x[:, 2:], x[:, :2] - x[:, 2:]], 1))

    def decode(self, payload: Payload) -> Tensor:
        low, high = super().decode(payload).chunk(2, 1)
        return torch.cat([low + high, low - high], 1) / 2


def test_a_layer_behind_a_transform_reads_fp32(network: TracedNetwork) -> None:
    found = operations(network, {"point": Transformed(UniformQuantizer(4, -1, 1))}, 8)
    assert found == 8 * 8 * STEM + 8 * 32 * (DEPTHWISE + POINT + HEAD)


class Scaled(PlainCodec):
    """Codes with a scale of each image's own, which is side information."""

    def encode(self, x: Tensor) -> Payload:
        scale = x.flatten(1).amax(1)[:, None, None, None].clamp_min(1e-6)
        return Payload(scale=floating(scale, side=True), **super().encode(x / scale).fields)

    def decode(self, payload: Payload) -> Tensor:
        return super().decode(payload) * payload["scale"]


def test_scaled_codes_are_codes(network: TracedNetwork) -> None:
    found = operations(network, {"point": Scaled(UniformQuantizer(4, 0, 1))}, 8)
    assert found == 8 * 8 * STEM + 8 * 32 * (DEPTHWISE + HEAD) + 8 * 4 * POINT


class Attending(nn.Module):
    """What multiplies by weights that no layer of the network owns."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.stem, self.head = how, nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 2, 1)
        self.column = nn.Parameter(torch.randn(8))
        self.matrix, self.row = nn.Parameter(torch.randn(8, 8)), nn.Parameter(torch.randn(8, 1, 1))
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True) if how == "attention" else nn.Identity()
        self.hooked = nn.Conv2d(8, 8, 3, padding=1)
        if how == "hooked":
            with torch.no_grad(), warnings.catch_warnings(action="ignore"):
                nn.utils.weight_norm(self.hooked)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x) * self.row + self.column[:, None, None]
        if self.how == "matmul":
            x = torch.einsum("oc,nchw->nohw", self.matrix, x)
        if self.how == "computed":
            x = F.linear(x.permute(0, 2, 3, 1), self.matrix.softmax(1)).permute(0, 3, 1, 2)
        if self.how == "attention":
            tokens = x.flatten(2).transpose(1, 2)
            x = self.attention(tokens, tokens, tokens)[0].transpose(1, 2).unflatten(2, (4, 4))
        return self.head(self.hooked(x) if self.how == "hooked" else x)


def test_weights_that_stay_in_fp32_are_named() -> None:
    network = trace(Attending("matmul"), SIZE)
    deployed = deploy(splice(network, {}), 8)
    with pytest.raises(Unsupported, match="matrix"):
        count(deployed.module, torch.rand(1, *SIZE), Bits(8, 8, 8))
    assert count(deployed.module, torch.rand(1, *SIZE)).total > 0


@pytest.mark.parametrize("how", ["computed", "attention", "hooked"])
def test_weights_that_are_computed_or_inside_a_module_are_quantised(how: str) -> None:
    deployed = deploy(splice(trace(Attending(how), SIZE), {}), 8)
    assert count(deployed.module, torch.rand(1, *SIZE), Bits(8, 8, 8)).total > 0


def test_what_only_scales_channels_needs_no_quantisation() -> None:
    deployed = deploy(splice(trace(Attending(""), SIZE), {}), 8)
    assert count(deployed.module, torch.rand(1, *SIZE), Bits(8, 8, 8)).total == 16 * (27 * 8 + 8 * 2)


class SideOnly(Codec):
    """A map whose only field is marked as side information."""

    def encode(self, x: Tensor) -> Payload:
        return Payload(signs=unsigned((x > 0).float(), 1, side=True))

    def decode(self, payload: Payload) -> Tensor:
        return payload["signs"]


def test_a_payload_of_side_information_alone_has_a_width(network: TracedNetwork) -> None:
    found = operations(network, {"point": SideOnly()}, 8)
    assert found == 8 * 8 * STEM + 8 * 32 * (DEPTHWISE + HEAD) + 8 * 1 * POINT


class Before(PlainCodec):
    """Codes on the other side of the nonlinearity."""

    side = "before"


def test_a_layer_behind_the_nonlinearity_of_codes_reads_no_codes(network: TracedNetwork) -> None:
    """Its input is decoded, and any real number."""
    found = operations(network, {"point": Before(UniformQuantizer(4, -1, 1))}, 8)
    assert found == 8 * 8 * STEM + 8 * 32 * (DEPTHWISE + POINT + HEAD)


class Joined(nn.Module):
    """A convolution that reads what two others wrote, one of them pooled."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.join = nn.Conv2d(3, 4, 1, 2), nn.Conv2d(3, 2, 1), nn.Conv2d(6, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.join(torch.cat([self.one(x), F.max_pool2d(self.two(x).relu(), 2)], 1))


def test_a_layer_that_reads_several_maps_reads_the_widest_of_their_codes() -> None:
    network = trace(Joined(), SIZE)
    codecs = {fmap.name: plain(width) for fmap, width in zip(network.maps, (5, 3), strict=True)}
    one, two, join = 16 * 3 * 4, 64 * 3 * 2, 16 * 6 * 5
    assert operations(network, codecs, 8) == 8 * 8 * (one + two) + 8 * 5 * join
