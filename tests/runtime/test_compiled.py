"""Compiled units give what the same units give as they come."""

from __future__ import annotations

import shutil
from contextlib import nullcontext

import pytest
import torch
from torch import nn

from actbench.codec import Codec, FeatureMap, Payload, PlainCodec, UniformQuantizer
from actbench.network.deploy import deploy
from actbench.network.splice import splice
from actbench.network.trace import trace
from actbench.runtime.compiled import CompiledUnits, compiled_module
from actbench.runtime.network import StripedNetwork
from actbench.runtime.units import Units
from tests.runtime.networks import Deep
from tests.runtime.test_network import Retrying

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler"),
]
SIZE = (3, 12, 10)


class ByNumPy(PlainCodec):
    """Decodes outside torch, where nothing can be traced."""

    def decode_rows(self, stripe: Payload, head: Payload) -> torch.Tensor:
        return torch.from_numpy(self.decode(stripe).numpy().copy())


def plain(fmap: FeatureMap) -> Codec:
    return PlainCodec(UniformQuantizer(3, 0.0, 1.0))


def by_numpy(fmap: FeatureMap) -> Codec:
    return ByNumPy(UniformQuantizer(4, 0.0, 1.0))


def networks(codec: object, units: Units, stripe: int) -> tuple[StripedNetwork, StripedNetwork]:
    torch.manual_seed(0)
    network = trace(Deep(4, 2).eval(), SIZE)
    codecs = {fmap.name: codec(fmap) for fmap in network.maps}  # type: ignore[operator]
    striped = StripedNetwork(deploy(splice(network, codecs), 8).module, stripe)
    return striped, striped.carried_out_by(units)


def test_all_of_a_plain_network_is_compiled_once_for_each_form() -> None:
    units = CompiledUnits(nullcontext)
    eager, compiled = networks(plain, units, 6)
    x = torch.rand(2, *SIZE)
    for _ in range(2):
        torch.testing.assert_close(compiled(x), eager(x), rtol=1e-5, atol=1e-5)
        # Of two layers two stripes each, which are written, and read by the second.
        assert (units.compiled, units.count) == (7, 7)


@pytest.mark.parametrize("codec", [by_numpy, Retrying])
def test_what_is_no_graph_of_tensors_stays_as_it_is(codec: object) -> None:
    units = CompiledUnits(nullcontext)
    eager, compiled = networks(codec, units, 12)
    x = torch.rand(1, *SIZE)
    torch.testing.assert_close(compiled(x), eager(x), rtol=1e-5, atol=1e-5)
    assert 0 < units.compiled < units.count


def test_compilers_run_in_what_is_given() -> None:
    entered: list[str] = []

    class Around(nullcontext):  # type: ignore[type-arg]
        def __enter__(self) -> None:
            entered.append("in")

    units = CompiledUnits(Around)
    codec = plain(None)  # type: ignore[arg-type]
    stored = units.encode(codec, torch.rand(1, 4, 3, 5), Payload())  # type: ignore[arg-type]
    assert (entered, units.compiled) == (["in"], 1)
    assert stored.bytes == 3 * 4 * 3 * 5 // 8 + 1


def test_a_whole_network_is_compiled_with_its_outputs_in_their_form() -> None:
    class Two(nn.Module):
        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"twice": 2 * x, "mean": x.mean((2, 3))}

    module, x = torch.fx.symbolic_trace(Two()), torch.rand(1, *SIZE)
    found = compiled_module(module, x)(x)
    torch.testing.assert_close(found, module(x))


def test_codes_that_are_packed_when_compiled_are_those_of_the_payload() -> None:
    units, x = CompiledUnits(nullcontext), torch.rand(2, 4, 3, 5)
    codec = PlainCodec(UniformQuantizer(5, 0.0, 1.0))
    eager, compiled = Units().encode(codec, x, Payload()), units.encode(codec, x, Payload())
    assert compiled.form == eager.form
    assert all(map(torch.equal, compiled.tensors, eager.tensors))
    assert torch.equal(units.decode(codec, eager, Payload()), codec.decode(eager.payload()))
    assert (units.compiled, units.count) == (2, 2)
