"""Codecs in place: what stands where, who reads what, and what is refused."""

from collections import OrderedDict
from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor, nn

from actbench.codec import Codec, Payload, PlainCodec, floating
from actbench.errors import InvalidCodec
from actbench.feature_map import Maps
from actbench.network.splice import splice
from actbench.network.trace import TracedNetwork, trace

Identities = Callable[[TracedNetwork, str], Mapping[str, Codec]]
SIZE = (3, 16, 16)


class Twice(nn.Module):
    """A convolution that is called twice, and a pre-activation whose source is also the skip."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.conv = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return x + self.conv(self.conv(x.relu()).sigmoid())


class Forked(nn.Module):
    """One ReLU, read as it is by one convolution and pooled by another; images 3×16×16."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.plain, self.pooled = nn.Conv2d(4, 2, 1), nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stem(x).relu()
        return self.plain(x), self.pooled(nn.functional.max_pool2d(x, 2))


class ChannelsLast(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 2, 2)
        self.up, self.down = nn.Linear(6, 12), nn.Linear(12, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(nn.functional.gelu(self.up(self.stem(x).permute(0, 2, 3, 1))))


class Zero(Codec):
    """Stores zeros."""

    def __init__(self, side: str = "after") -> None:
        super().__init__()
        vars(self)["side"] = side
        self.crop = 1

    def encode(self, x: Tensor) -> Payload:
        return Payload(values=floating(torch.zeros_like(x)[:, :, :: self.crop, :: self.crop]))

    def decode(self, payload: Payload) -> Tensor:
        return payload["values"]


@pytest.mark.parametrize("side", ["before", "around", "after"])
@pytest.mark.parametrize("model", ["residual", "twice", "forked", "channels last"])
@pytest.mark.parametrize("maps", ["live", "conv-inputs"])
def test_identity_codecs_change_no_bit(
    side: str, model: str, maps: Maps, residual: Callable[..., nn.Module], identities: Identities
) -> None:
    models = {"residual": residual, "twice": Twice, "forked": Forked, "channels last": ChannelsLast}
    network = trace(models[model](), SIZE, maps)
    spliced = splice(network, identities(network, side))
    assert list(spliced.codecs()) == [fmap.name for fmap in network.maps]
    seen: dict[str, tuple[int, ...]] = {}
    for name, encoder in spliced.encoders().items():
        encoder.observer = lambda x, _, name=name: seen.__setitem__(name, tuple(x.shape[1:]))
    images = torch.randn(2, *SIZE)
    with torch.no_grad():
        # A nonlinearity on a tensor of another layout may round otherwise.
        atol = 1e-6 if model == "channels last" else 0
        torch.testing.assert_close(spliced.module(images), network.module(images), rtol=0, atol=atol)
    for fmap in network.maps:
        height, width = (fmap.height, fmap.width) if side == "after" else fmap.source
        assert seen[fmap.name] == (fmap.channels, height, width)


@pytest.mark.parametrize("side", ["before", "after"])
def test_every_reader_of_a_shared_map_reads_what_was_stored(side: str, residual: Callable[..., nn.Module]) -> None:
    """The map in front of an identity block feeds its convolution and its skip: zeros leave only what biases give."""
    network = trace(residual(), SIZE)
    spliced = splice(network, {"6.conv1": Zero(side)})
    first, second = (spliced.module(torch.randn(2, *SIZE)) for _ in range(2))
    assert torch.equal(first, second)
    conv = network.module.get_submodule("6.conv1")
    with torch.no_grad():
        conv.weight.add_(torch.randn_like(conv.weight))
    assert torch.equal(splice(network, {"6.conv1": Zero(side)}).module(torch.randn(2, *SIZE)), first)


@pytest.mark.parametrize("side", ["before", "around", "after"])
def test_a_map_without_a_codec_keeps_its_values(side: str) -> None:
    """Two maps of one nonlinearity: the pooled one is stored apart."""
    network, x = trace(Forked(), SIZE, "conv-inputs"), torch.randn(2, *SIZE)
    zeros = Zero(side)
    zeros.crop = 2 if side == "around" else 1
    outputs, expected = splice(network, {"pooled": zeros}).module(x), network.module(x)
    torch.testing.assert_close(outputs[0], expected[0], rtol=0, atol=0)
    assert (outputs[1].std((2, 3)) < 1e-6).all()


def test_names_that_differ_only_in_a_dot_keep_their_own_codecs() -> None:
    one = {"conv": nn.Conv2d(4, 4, 1)}
    model = nn.Sequential(
        OrderedDict(stem=nn.Conv2d(3, 4, 1), block=nn.Sequential(OrderedDict(one)), block_conv=nn.Conv2d(4, 4, 1))
    )
    network = trace(model, SIZE)
    codecs: dict[str, Codec] = {fmap.name: PlainCodec(None) for fmap in network.maps}
    assert set(codecs) == {"block.conv", "block_conv"}
    assert splice(network, codecs).codecs() == codecs


def test_the_network_stays_as_it_was(residual: Callable[..., nn.Module]) -> None:
    network, x = trace(residual(), SIZE), torch.randn(2, *SIZE)
    expected, graph = network.module(x), str(network.module.graph)
    spliced = splice(network, {fmap.name: Zero() for fmap in network.maps})
    with torch.no_grad():
        for parameter in spliced.module.parameters():
            parameter.zero_()
    assert not torch.equal(spliced.module(x), expected)
    assert torch.equal(network.module(x), expected)
    assert str(network.module.graph) == graph


class Cropping(Zero):
    def decode(self, payload: Payload) -> Tensor:
        return payload["values"][:, :, 1:]


class Dropping(Zero):
    def decode(self, payload: Payload) -> Tensor:
        return payload["values"][:1]


class Bare(Zero):
    def encode(self, x: Tensor) -> Payload:
        return x  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("codec", "message"),
    [
        (Cropping(), r"decode of 4\.conv1 returned \(2, 6, 7, 8\), not \(6, 8, 8\) an image"),
        (Cropping("before"), r"decode of 4\.conv1 returned \(2, 6, 15, 16\), not \(6, 16, 16\) an image"),
        (Dropping(), r"decode of 4\.conv1 returned \(1, 6, 8, 8\)"),
        (Bare(), r"encode of 4\.conv1 returned Tensor, not a Payload"),
    ],
)
def test_codecs_that_break_the_contract_are_invalid(
    codec: Codec, message: str, residual: Callable[..., nn.Module]
) -> None:
    spliced = splice(trace(residual(), SIZE), {"4.conv1": codec})
    with pytest.raises(InvalidCodec, match=message):
        spliced.module(torch.randn(2, *SIZE))
