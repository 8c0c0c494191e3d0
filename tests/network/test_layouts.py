"""Maps that are tokens: where they are found, how they are laid out, and that codecs in their place change nothing."""

import pytest
import torch
from torch import fx, nn

from actbench.budget import Bits
from actbench.codec.layouts import as_map, as_tensor
from actbench.codec.plain import PlainCodec
from actbench.feature_map import CHANNELS_FIRST, CHANNELS_LAST, FeatureMap, Layout
from actbench.measure.compute import in_fp32
from actbench.network.deploy import deploy
from actbench.network.quantize import weights
from actbench.network.splice import splice
from actbench.network.tap import Tap
from actbench.network.trace import TracedNetwork, trace
from actbench.network.ways import difference
from actbench.runtime.network import StripedNetwork
from tests.network.tokens import TinyViT, Windows

ATTENTIONS = ["packed", "sequence_first", "fused", "explicit"]


def _forms(network: TracedNetwork) -> list[tuple[int, int, int]]:
    return [(fmap.channels, fmap.height, fmap.width) for fmap in network.maps]


@pytest.mark.parametrize("layout", [CHANNELS_FIRST, CHANNELS_LAST])
def test_four_dimensions_are_a_view(layout: Layout) -> None:
    x = torch.randn(2, 3, 4, 5)
    assert as_map(x, layout).data_ptr() == x.data_ptr()
    assert torch.equal(as_tensor(as_map(x, layout), layout), x)


def test_windows_are_one_under_the_other() -> None:
    windows = torch.randn(2 * 3, 4, 5)  # two images of three windows of 2×2
    layout = Layout((0, 1, 2), (4, 5), (6, 2))
    found = as_map(windows, layout)
    assert found.shape == (2, 5, 6, 2)
    assert torch.equal(found[1, :, 2:4], windows[4].T.reshape(5, 2, 2))
    assert torch.equal(as_tensor(found, layout), windows)


def test_the_batch_may_be_the_second_dimension() -> None:
    tokens, layout = torch.randn(7, 2, 5), Layout((1, 0, 2), (7, 5), (7, 1))
    found = as_map(tokens, layout)
    assert torch.equal(found[1, :, :, 0], tokens[:, 1].T)
    assert torch.equal(as_tensor(found, layout), tokens)


@pytest.mark.parametrize("attention", ["packed", "sequence_first"])
def test_queries_keys_and_values_are_one_map_where_one_layer_writes_them(attention: str) -> None:
    network = trace(TinyViT(attention), (3, 16, 16))
    block = [(48, 4, 4), (16, 4, 4), (16, 4, 4), (32, 4, 4)]
    assert _forms(network) == [(16, 4, 4), *block, (16, 4, 4), *block]
    assert [reader.operation for reader in network.maps[1].readers] == ["attention"]


@pytest.mark.parametrize("ways", [["fx"], ["export"]])
def test_a_class_token_makes_a_column(ways: list) -> None:  # type: ignore[type-arg]
    network = trace(TinyViT("fused", class_token=True), (3, 16, 16), ways=ways)
    block = [(16, 17, 1)] * 5 + [(32, 17, 1)]
    assert _forms(network) == [(16, 4, 4), *block, (16, 17, 1), *block]
    assert [fmap.producer for fmap in network.maps[1:4]] == [f"blocks.0.attention.{name}" for name in "qkv"]


def test_a_matrix_of_attention_is_no_map() -> None:
    assert _forms(trace(TinyViT("explicit"), (3, 16, 16))) == _forms(trace(TinyViT("fused"), (3, 16, 16)))


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("class_token", [False, True])
def test_codecs_that_change_nothing_change_nothing(attention: str, class_token: bool) -> None:
    torch.manual_seed(0)
    model = TinyViT(attention, class_token=class_token).eval()
    _assert_transparent(model, trace(model, (3, 16, 16)), torch.randn(3, 3, 16, 16))


def test_windows_are_maps_of_their_image() -> None:
    torch.manual_seed(0)
    model = Windows().eval()
    network, images = trace(model, (3, 32, 32)), torch.randn(3, 3, 32, 32)
    assert _forms(network) == [(16, 8, 8), *[(16, 16, 4)] * 4]
    _assert_transparent(model, network, images)
    layer = model.attention.q
    windows = model.norm(model.patches(images).permute(0, 2, 3, 1))[1, 4:, :4]  # the third of the second image
    q = Tap(network).sides(images)[network.maps[1].name][1]
    torch.testing.assert_close(q[1, :, 8:12], layer(windows).permute(2, 0, 1))


def _assert_transparent(model: nn.Module, network: TracedNetwork, images: torch.Tensor) -> None:
    spliced = splice(network, {fmap.name: PlainCodec(None) for fmap in network.maps})
    bits: dict[str, list[int]] = {}
    for name, encoder in spliced.encoders().items():
        encoder.observer = lambda _, payload, name=name: bits.__setitem__(name, payload.bits_per_image().tolist())
    with torch.no_grad():
        expected = model(images)
        assert difference(expected, spliced.module(images)) < 1e-5
        deployed = deploy(spliced, 32)
        assert difference(expected, StripedNetwork(deployed.module)(images)) < 1e-5
    assert bits == {fmap.name: [fmap.bits] * len(images) for fmap in network.maps}


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_all_weights_are_quantised(attention: str) -> None:
    model = TinyViT(attention)
    network = trace(model, (3, 16, 16))
    assert not in_fp32(network.module, Bits.parse("w8a8"), torch.zeros(1, 3, 16, 16))
    assert set(network.tensors.values()) == set(model.state_dict())


class _Cross(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention, self.patches = nn.MultiheadAttention(8, 2, batch_first=True), nn.Conv2d(3, 8, 4, 4)
        self.queries = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        return self.attention(self.queries(tokens), tokens, tokens)  # type: ignore[no-any-return]


def test_attention_to_other_tokens_and_its_weights() -> None:
    torch.manual_seed(0)
    model = _Cross().eval()
    _assert_same(model, trace(model, (3, 16, 16), ways=["fx"]))


def _assert_same(model: nn.Module, network: TracedNetwork) -> None:
    images = torch.randn(3, 3, 16, 16)
    with torch.no_grad():
        assert difference(model(images), network.module(images)) < 1e-5


def test_steps_on_tokens_run_whole_and_are_named() -> None:
    network = trace(TinyViT("packed"), (3, 16, 16))
    deployed = deploy(splice(network, {fmap.name: PlainCodec(None) for fmap in network.maps}), 32)
    whole = StripedNetwork(deployed.module).schedule((1, 3, 16, 16)).whole
    assert {"blocks.0.attention.attention.out_proj", "blocks.1.mlp.2"} <= set(whole)


def window_attention(x: torch.Tensor, weight: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.linear(x, weight) + table[0]


fx.wrap("window_attention")


class _Wrapped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches, self.inner, self.out = nn.Conv2d(3, 8, 4, 4), nn.Linear(8, 8, bias=False), nn.Linear(8, 8)
        self.table = nn.Parameter(torch.randn(2, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = torch.cat([self.patches(x).flatten(2).transpose(1, 2)])
        return self.out(window_attention(tokens, self.inner.weight, self.table))  # type: ignore[no-any-return]


def test_a_function_into_which_tracing_does_not_see_has_its_weights_quantised() -> None:
    network = trace(_Wrapped(), (3, 16, 16), ways=["fx"])
    assert set(weights(network.module)) == {"patches", "inner.weight", "out"}
    assert not in_fp32(network.module, Bits.parse("w8a8"), torch.zeros(1, 3, 16, 16))


class _Masked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)

    def forward(self, x: torch.Tensor, bias: torch.Tensor | None = None, scale: float = 2.0) -> torch.Tensor:
        return torch.nn.functional.conv2d(self.first(x) * scale, self.second.weight, bias)


def test_what_a_model_takes_by_default_is_no_input() -> None:
    model = _Masked().eval()
    network = trace(model, (3, 16, 16), ways=["fx"])
    assert sum(node.op == "placeholder" for node in network.module.graph.nodes) == 1
    _assert_same(model, network)


def test_conv_inputs_counts_what_linear_layers_read() -> None:
    network = trace(TinyViT("packed"), (3, 16, 16), "conv-inputs")
    assert _forms(network) == [(16, 4, 4), (16, 4, 4), (16, 4, 4), (32, 4, 4)] * 2


def test_codecs_of_tokens_know_their_layers() -> None:
    network = trace(TinyViT("packed"), (3, 16, 16))
    fmap: FeatureMap = network.maps[4]
    assert [reader.pointwise for reader in fmap.readers] == [True]
    assert [type(layer) for layer in network.readers(fmap)] == [nn.Linear]
    assert [operation.name for operation in fmap.between] == ["gelu"]
