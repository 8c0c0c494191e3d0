"""Convolutions in integers give what convolutions of the decoded codes give."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, fx, nn
from torch.nn import functional

from actbench.codec import Codec, PlainCodec, UniformQuantizer
from actbench.network.deploy import deploy
from actbench.network.quantize import quantized
from actbench.network.splice import splice
from actbench.network.trace import trace
from actbench.runtime import integer
from actbench.runtime.integer import integer_form, integer_weights
from actbench.runtime.integer_convolution import IntegerConvolution, Kernels, kernels
from actbench.runtime.network import StripedNetwork
from tests.runtime.networks import NETWORKS, Deep
from tests.runtime.test_network import CODECS, SIZES

FOUND = kernels()
needs_kernels = pytest.mark.skipif(FOUND is None, reason="this processor has no kernels for integers")


def plain(width: int, low: float = 0.0, high: float = 2.0) -> Codec:
    return PlainCodec(UniformQuantizer(width, low, high))


def deployed(model: nn.Module, codec: object, size: tuple[int, int, int], weight_bits: int = 8) -> fx.GraphModule:
    torch.manual_seed(0)
    network = trace(model.eval(), size)
    codecs = {fmap.name: codec(fmap) for fmap in network.maps}  # type: ignore[operator]
    return deploy(splice(network, codecs), weight_bits).module


@given(st.integers(2, 8), st.integers(0, 1 << 20))
def test_rounded_weights_are_products_of_integers_and_steps(width: int, seed: int) -> None:
    weight = torch.randn(3, 2, 3, 3, generator=torch.Generator().manual_seed(seed))
    weight[0] *= 100
    weight[1] = 0
    rounded = quantized(weight, width)
    integers, steps = integer_weights(rounded, width)
    assert integers.abs().amax() <= (1 << (width - 1)) - 1
    torch.testing.assert_close(integers * steps[:, None, None, None], rounded, rtol=1e-6, atol=0)


@needs_kernels
@given(st.data())
def test_a_convolution_gives_what_decoded_codes_give(data: st.DataObject) -> None:
    groups, per_group = data.draw(st.sampled_from([(1, 3), (1, 20), (4, 1), (2, 8)]))
    kernel, stride = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 2))
    dilation, padding = data.draw(st.integers(1, 2)), data.draw(st.integers(0, 2))
    width = data.draw(st.integers(1, min(8, (FOUND.product // 127).bit_length() - 1) if FOUND else 8))
    low = 0.0 if padding else data.draw(st.sampled_from([0.0, -1.3]))
    torch.manual_seed(data.draw(st.integers(0, 1 << 20)))
    channels = groups * per_group
    layer = nn.Conv2d(channels, 8, kernel, stride, padding, dilation, groups, bias=data.draw(st.booleans()))
    layer.requires_grad_(False).weight.copy_(quantized(layer.weight, 8))
    quantizer = UniformQuantizer(width, low, 2.0)
    codes = torch.randint(0, 1 << width, (2, channels, 9, 7), dtype=torch.uint8)
    codes[0] = quantizer.levels
    integers = IntegerConvolution(layer, quantizer, *integer_weights(layer.weight, 8))
    decoded = codes.double() * quantizer.step.item() + low
    expected = layer.double()(decoded)
    given_ = integers.convolve(codes, (padding, padding)).double()
    assert (given_ - expected).abs().max() <= 3e-6 * functional.conv2d(
        decoded.abs(), layer.weight.abs(), None, stride, padding, dilation, groups
    ).max().clamp_min(1)


@needs_kernels
@pytest.mark.parametrize("stripe", [1, 3, "auto", "off"])
@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("network", NETWORKS)
def test_a_network_gives_what_its_simulation_gives(network: str, bits: int, stripe: int) -> None:
    module = deployed(NETWORKS[network](), lambda fmap: plain(bits, 0.0 if fmap.nonnegative else -1.5), SIZES[network])
    form = integer_form(module, 8)
    fits = ((1 << bits) - 1) * 127 <= FOUND.product  # type: ignore[union-attr]
    # The encoder's convolutions read what is pooled or concatenated.
    assert bool(form.layers) == (fits and network != "encoder")
    x = torch.rand(2, *SIZES[network])
    with torch.no_grad():
        expected, found = module(x), StripedNetwork(form.module, stripe)(x)  # type: ignore[arg-type]
    step = 2.0 / ((1 << bits) - 1)  # a sum at the edge between two codes may be rounded to the other
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 if bits < 8 else step)


@needs_kernels
def test_names_what_runs_in_integers_and_why_others_do_not() -> None:
    module = deployed(Deep(8, 4), lambda fmap: plain(4), (3, 16, 12))
    form = integer_form(module, 8)
    assert form.layers == ("features.2", "features.4", "features.6")
    assert form.others == {"features.0": "reads no map of plain codes of at most 8 bits"}
    assert form.engine == FOUND.name  # type: ignore[union-attr]


@needs_kernels
def test_one_map_is_read_in_both_ways() -> None:
    """By a convolution and an addition."""
    module = deployed(NETWORKS["residual"](), lambda fmap: plain(7), SIZES["residual"])  # for all processors
    form = integer_form(module, 8)
    called = [type(form.module.get_submodule(str(n.target))) for n in form.module.graph.nodes if n.op == "call_module"]
    assert IntegerConvolution in called
    assert any(kind.__name__ == "Dequantized" for kind in called)


OBSTACLES = {
    "fp32 maps": (lambda fmap: PlainCodec(None), 8, "reads no map of plain codes"),
    "wide codes": (lambda fmap: plain(9), 8, "reads no map of plain codes"),
    "another codec": (CODECS["whole"], 8, "reads no map of plain codes"),
    "wide weights": (lambda fmap: plain(8), 9, "weights of 9 bits"),
    "no code for zero": (lambda fmap: plain(8, -0.1), 8, "padded with zeros, which no code stands for"),
}


@needs_kernels
@pytest.mark.parametrize("case", OBSTACLES)
def test_what_cannot_run_in_integers_stays_in_fp32(case: str) -> None:
    codec, weight_bits, reason = OBSTACLES[case]
    module = deployed(Deep(8, 3), codec, (3, 16, 12), weight_bits)
    form = integer_form(module, weight_bits)
    assert form.layers == ()
    assert reason in form.others["features.4"]
    x = torch.rand(1, 3, 16, 12)
    with torch.no_grad():
        torch.testing.assert_close(form.module(x), module(x), rtol=0, atol=0)


def test_a_layer_that_is_called_repeatedly_stays_in_fp32() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.again = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return self.again(self.again(self.first(x).relu()).relu()).mean((2, 3))

    form = integer_form(deployed(Twice(), lambda fmap: plain(8), (3, 16, 12)), 8)
    assert form.layers == ()
    if FOUND:
        assert form.others["again"] == "called repeatedly"


@pytest.mark.parametrize(("width", "runs"), [(4, True), (8, False)])
def test_where_pairs_of_products_overflow_narrow_codes_run(
    width: int, runs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(integer, "kernels", lambda: Kernels("pairs in 16 bits", (1 << 15) // 2))
    form = integer_form(deployed(Deep(8, 3), lambda fmap: plain(width), (3, 16, 12)), 8)
    assert bool(form.layers) == runs
    assert any("could overflow" in reason for reason in form.others.values()) != runs


def test_without_kernels_all_stays_in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integer, "kernels", lambda: None)
    form = integer_form(deployed(Deep(8, 3), lambda fmap: plain(4), (3, 16, 12)), 8)
    assert (form.layers, form.engine) == ((), "")
    assert set(form.others.values()) == {"the processor has no kernels for it"}


OLDER = """
import torch
from actbench.runtime.integer_convolution import kernels
found = kernels()
print(found.product if found else 0)
"""


@needs_kernels
@pytest.mark.skipif(not torch.cpu._is_avx2_supported(), reason="instructions of x86 processors")
def test_an_older_processor_is_found_out() -> None:
    """One without VNNI, which oneDNN can be told to be."""
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run([sys.executable, "-c", OLDER], env=environment, capture_output=True, text=True, check=True)
    assert int(done.stdout) == ((1 << 15) - 1) // 2
