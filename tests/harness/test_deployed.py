"""What runs has to give what was evaluated."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from actbench.codec import Payload, PlainCodec, UniformQuantizer
from actbench.errors import InvalidCodec
from actbench.harness.deployed import check_outputs
from actbench.network.deploy import deploy
from actbench.network.splice import splice
from actbench.network.trace import trace
from actbench.runtime.network import StripedNetwork
from tests.runtime.networks import Deep

SIZE = (3, 16, 12)


class Other(PlainCodec):
    """Gives other values in rows than on the whole map."""

    def encode_rows(self, x: Tensor, head: Payload) -> Payload:
        return PlainCodec(None).encode(x)

    def decode_rows(self, stripe: Payload, head: Payload) -> Tensor:
        return 10 * PlainCodec(None).decode(stripe)


def module(kind: type[PlainCodec]) -> nn.Module:
    torch.manual_seed(0)
    network = trace(Deep(8, 4).eval(), SIZE)
    return deploy(splice(network, {fmap.name: kind(UniformQuantizer(4, 0.0, 1.0)) for fmap in network.maps}), 32).module


def test_what_stores_other_things_in_rows_is_invalid() -> None:
    images = torch.rand(2, *SIZE, generator=torch.Generator().manual_seed(1))
    check_outputs(StripedNetwork(module(PlainCodec), 3), module(PlainCodec), images)
    with pytest.raises(InvalidCodec, match="in stripes of rows the network gives other outputs"):
        check_outputs(StripedNetwork(module(Other), 3), module(Other), images)
