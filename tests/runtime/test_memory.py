"""Memory of a network in stripes: what is overwritten, what is kept, and how high stripes are."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from actbench.codec import PlainCodec, UniformQuantizer
from actbench.codec.packed_payload import PackedPayload
from actbench.codec.rows import NO_HEAD
from actbench.measure.memory import peak_live_bytes
from actbench.network.deploy import deploy
from actbench.network.splice import splice
from actbench.network.trace import trace
from actbench.runtime.network import StripedNetwork
from actbench.runtime.schedule import Striped
from actbench.runtime.spans import Span
from actbench.runtime.stored import StoredMap, Window

SIZE = (3, 12, 8)


class Shared(nn.Module):
    """Tensors that are read again behind the step that might have written into them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(channels, 8, 3, padding=1) for channels in (3, 8))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        part, positive = x[:, :4, :, :], torch.relu(x)
        y = self.second(torch.cat([part, positive[:, 4:, :, :]], 1))
        z = torch.relu(y)
        return y + z + z


def striped(network: nn.Module, size: tuple[int, int, int], width: int | None, stripe: int | str) -> tuple:
    traced = trace(network.eval(), size)
    quantizer = UniformQuantizer(width, 0.0, 4.0) if width else None
    module = deploy(splice(traced, {fmap.name: PlainCodec(quantizer) for fmap in traced.maps}), 32).module
    return StripedNetwork(module, stripe), module, traced.module


@pytest.mark.parametrize("stripe", [1, 5, "auto", "off"])
def test_what_others_read_is_not_overwritten(stripe):
    torch.manual_seed(0)
    network, module, _ = striped(Shared(), SIZE, None, stripe)
    x = torch.randn(2, *SIZE)
    before = x.clone()
    with torch.no_grad():
        expected = module(x)
    torch.testing.assert_close(network(x), expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(x, before)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=6), st.lists(st.integers(1, 5), min_size=1, max_size=8))
def test_a_window_gives_the_rows_that_were_stored(heights, steps):
    whole = torch.arange(sum(heights) * 3.0).reshape(1, 1, -1, 3)
    codec, edges = PlainCodec(None), [0]
    for height in heights:
        edges.append(edges[-1] + height)
    stripes = [
        (Span(*edge), PackedPayload.of(codec.encode(whole[:, :, slice(*edge)].clone()))) for edge in pairwise(edges)
    ]
    window = Window(
        StoredMap(PackedPayload.of(NO_HEAD), stripes), lambda stripe, _: codec.decode(stripe.payload()), last=True
    )
    starts = list(range(0, edges[-1], steps[0]))
    for number, start in enumerate(starts):
        rows = Span(start, min(start + steps[number % len(steps)] + 1, edges[-1]))
        kept = starts[number + 1] if number + 1 < len(starts) else None
        assert torch.equal(window.rows(rows, kept), whole[:, :, rows.start : rows.stop])
    assert not [span for span, _ in stripes if span.start < rows.stop]


class Falling(nn.Module):
    """Large maps first, and small ones behind them."""

    def __init__(self) -> None:
        super().__init__()
        wide = [nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU()]
        small = [nn.Conv2d(16, 32, 3, stride=4, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU()]
        self.layers = nn.Sequential(*wide, *small, nn.Conv2d(32, 32, 3, padding=1), nn.AdaptiveAvgPool2d(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def test_stripes_fill_a_fifth_and_small_maps_are_whole():
    size = (3, 96, 96)
    network, _, whole = striped(Falling(), size, 4, "auto")
    x = torch.rand(1, *size)
    steps = [step for step in network.schedule((1, *size)).steps if isinstance(step, Striped)]
    assert len(steps[0].programs) > 4
    assert len(steps[-1].programs) == 1
    with torch.no_grad():
        reference = peak_live_bytes(lambda: whole(x))
    assert peak_live_bytes(lambda: network(x)) < 0.25 * reference
