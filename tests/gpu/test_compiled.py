"""Compiled units on a GPU."""

from contextlib import nullcontext

import pytest
import torch

from actbench.codec import PlainCodec, UniformQuantizer
from actbench.network.deploy import deploy
from actbench.network.splice import splice
from actbench.network.trace import trace
from actbench.runtime.compiled import CompiledUnits
from actbench.runtime.network import StripedNetwork
from tests.runtime.networks import Deep

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("width", [3, 4, 8])
def test_compiled_units_give_what_eager_ones_give(width: int) -> None:
    torch.manual_seed(0)
    network = trace(Deep(16, 3).eval(), (3, 24, 20))
    codecs = {fmap.name: PlainCodec(UniformQuantizer(width, 0.0, 1.0)) for fmap in network.maps}
    striped = StripedNetwork(deploy(splice(network, codecs), 8).module.cuda(), 8)
    units = CompiledUnits(nullcontext)
    x = torch.rand(2, 3, 24, 20, device="cuda")
    # A sum at the edge between two codes may be rounded to the other.
    torch.testing.assert_close(striped.carried_out_by(units)(x), striped(x), rtol=1e-2, atol=1e-2)
    assert units.compiled == units.count > 0
