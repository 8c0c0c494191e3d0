"""The striped network gives what the deployed one gives, and keeps no more than it says."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from actbench.codec import Codec, FeatureMap, Payload, PlainCodec, UniformQuantizer, floating, unsigned
from actbench.measure.memory import peak_live_bytes
from actbench.network.deploy import deploy
from actbench.network.splice import splice
from actbench.network.trace import trace
from actbench.runtime.network import StripedNetwork
from actbench_plugins.prochan.codec import ProChanCodec
from tests.runtime.networks import NETWORKS, Deep

SIZES = {"chain": (3, 37, 22), "residual": (3, 19, 14), "encoder": (3, 36, 20), "gated": (3, 21, 18)}
MakeCodec = Callable[[FeatureMap], Codec]


def plain(width: int) -> MakeCodec:
    return lambda fmap: PlainCodec(UniformQuantizer(width, 0.0 if fmap.nonnegative else -2.0, 2.0))


def bottleneck(fmap: FeatureMap) -> Codec:
    half = max(1, fmap.channels // 2)
    generator = torch.Generator().manual_seed(fmap.channels)
    project = torch.randn(half, fmap.channels, generator=generator)
    expand = torch.randn(fmap.channels, half, generator=generator) / 4
    return ProChanCodec(fmap, project, expand, UniformQuantizer(6, -3.0, 3.0))


class Scaled(Codec):
    """Stores a map relative to the largest of all its values: it needs the whole map."""

    def encode(self, x: Tensor) -> Payload:
        scale = x.abs().amax((1, 2, 3), keepdim=True).clamp_min(1e-9) / 7
        return Payload(codes=unsigned((x / scale).round() + 8, 4), scale=floating(scale, side=True))

    def decode(self, payload: Payload) -> Tensor:
        return (payload["codes"] - 8) * payload["scale"]


class Retrying(Codec):
    """Halves its step's fineness until the sum of an image's codes is small: what it chooses is known at the end."""

    steps: Tensor
    rows = 2

    def __init__(self, fmap: FeatureMap) -> None:
        super().__init__()
        self.channels, self.width, self.allowed = fmap.channels, fmap.width, 2 * fmap.elements
        self.register_buffer("steps", torch.tensor([0.05, 0.2, 0.8]))

    def encode(self, x: Tensor) -> Payload:
        head = self.first_head(len(x))
        while True:
            payload = self.encode_rows(x, head)
            following = self.next_head(head, payload.bits_per_image() - 32)
            if following is None:
                return Payload(choice=head.fields["choice"], **payload.fields)
            head = following

    def decode(self, payload: Payload) -> Tensor:
        return self.decode_rows(payload, payload)

    def first_head(self, batch: int) -> Payload:
        return Payload(choice=unsigned(torch.zeros(batch, 1, dtype=torch.int64), 2, side=True))

    def next_head(self, head: Payload, bits: Tensor) -> Payload | None:
        over = (bits > self.allowed)[:, None] & (head["choice"] < 2)
        return Payload(choice=unsigned(head["choice"] + over, 2, side=True)) if over.any() else None

    def encode_rows(self, x: Tensor, head: Payload) -> Payload:
        codes = (x / self._step(head)).round().clamp(0, 7).flatten(1).long()
        unary = [torch.cat([torch.ones(n, dtype=torch.long), torch.zeros(1, dtype=torch.long)]) for n in codes.view(-1)]
        lengths = torch.tensor([len(part) for part in unary]).view(len(x), -1).sum(1)
        return Payload(string=unsigned(torch.cat(unary), 1, lengths=lengths))

    def decode_rows(self, stripe: Payload, head: Payload) -> Tensor:
        images = stripe["string"].split(stripe.lengths("string").tolist())
        ends = [(image == 0).nonzero()[:, 0] for image in images]
        codes = torch.stack([end.diff(prepend=end.new_tensor([-1])) - 1 for end in ends])
        return codes.view(len(images), self.channels, -1, self.width) * self._step(head)

    def _step(self, head: Payload) -> Tensor:
        return self.steps[head["choice"][:, 0]][:, None, None, None]


CODECS: dict[str, MakeCodec] = {
    "4 bits": plain(4),
    "3 bits": plain(3),
    "whole": lambda fmap: Scaled(),
    "retrying": Retrying,
    "bottleneck": bottleneck,
    "fp32": lambda fmap: PlainCodec(None),
}


def deployed(model: nn.Module, make: MakeCodec, size: tuple[int, int, int]) -> nn.Module:
    torch.manual_seed(0)
    network = trace(model.eval(), size)
    spliced = splice(network, {fmap.name: make(fmap) for fmap in network.maps})
    module = deploy(spliced, 32, torch.rand(1, *size)).module
    return module.double()


def assert_same(first: object, second: object) -> None:
    torch.testing.assert_close(first, second, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("stripe", [1, 3, "auto", "off"])
@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("network", NETWORKS)
def test_gives_what_the_deployed_network_gives(network, codec, stripe):
    module = deployed(NETWORKS[network](), CODECS[codec], SIZES[network])
    x = torch.rand(2, *SIZES[network], dtype=torch.float64)
    with torch.no_grad():
        expected = module(x)
    assert_same(StripedNetwork(module, stripe)(x), expected)


def peak(run: Callable[[], object]) -> int:
    with torch.no_grad():
        run()
        return peak_live_bytes(run)


def test_peak_is_what_is_stored_and_a_stripe():
    """Two maps of a quarter of a byte a value, and a few rows in fp32, beside two whole maps in fp32."""
    size = (3, 128, 128)
    module, x = deployed(Deep(16, 6), plain(2), size).float(), torch.rand(1, *size)
    network = trace(Deep(16, 6).eval(), size)
    reference = peak(lambda: network.module(x))
    assert reference == 2 * 16 * 128 * 128 * 4
    maps = 2 * 16 * 128 * 128 * 2 // 8
    low, high, whole = (StripedNetwork(module, rows) for rows in (4, 32, "off"))
    measured = peak(lambda: low(x))
    assert maps < measured < 0.25 * reference
    assert measured < peak(lambda: high(x)) < peak(lambda: whole(x))


def test_stripes_begin_where_the_map_before_has_some():
    """No row of a stored map is decoded twice, or long before it is read."""
    module = deployed(Deep(8, 4), plain(4), (3, 64, 16))
    seen: list[int] = []
    decoders = [part for part in module.modules() if isinstance(part, PlainCodec)]
    for decoder in decoders:
        own = decoder.decode_rows
        vars(decoder)["decode_rows"] = lambda stripe, head, own=own: (
            seen.append(stripe["codes"].shape[2]),
            own(stripe, head),
        )[1]
    StripedNetwork(module, 8)(torch.rand(1, 3, 64, 16, dtype=torch.float64))
    assert sum(seen) == 64 * 3
    assert max(seen) <= 8


def test_names_what_needs_the_whole_map():
    module = deployed(NETWORKS["gated"](), plain(4), SIZES["gated"])
    assert StripedNetwork(module).schedule((1, *SIZES["gated"])).whole == ("shuffle",)
