"""The networks that give a value for each pixel."""

from __future__ import annotations

import pytest
import torch
from torch import fx, nn

from actbench.workloads.zoo.encoder_decoder import EncoderDecoder
from actbench.workloads.zoo.restoration import RestorationNetwork

NETWORKS = [
    (EncoderDecoder(11), (3, 32, 48), (11, 32, 48)),
    (RestorationNetwork(scale=1, channels=8, blocks=2), (1, 12, 10), (1, 12, 10)),
    (RestorationNetwork(scale=2, channels=8, blocks=2), (1, 12, 10), (1, 24, 20)),
]


@pytest.mark.parametrize(("network", "given", "wanted"), NETWORKS)
def test_a_value_for_each_pixel_and_a_graph_that_computes_the_same(
    network: nn.Module, given: tuple[int, ...], wanted: tuple[int, ...]
) -> None:
    images = torch.randn(2, *given, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        outputs = network.eval()(images)
        assert outputs.shape == (2, *wanted)
        assert torch.equal(fx.symbolic_trace(network)(images), outputs)


def test_skips_reach_the_decoder() -> None:
    """Without the deepest maps the outputs still depend on the image, by the pixel."""
    network = EncoderDecoder(2).eval()
    nn.init.zeros_(network.decoder2.reduce[1].weight)
    images = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0), requires_grad=True)
    network(images)[0, 0, 13, 17].backward()
    assert images.grad is not None
    assert images.grad[0, :, 13, 17].abs().sum() > 0


def test_restoration_adds_to_what_is_given() -> None:
    network = RestorationNetwork(scale=2, channels=8, blocks=1).eval()
    nn.init.zeros_(network.tail.weight)
    assert network.tail.bias is not None
    nn.init.zeros_(network.tail.bias)
    image = torch.rand(1, 1, 4, 6)
    with torch.no_grad():
        assert torch.equal(network(image), image.repeat_interleave(2, 2).repeat_interleave(2, 3))


def test_both_are_small() -> None:
    for network, limit in ((EncoderDecoder(11), 330_000), (RestorationNetwork(2, 32, 4), 80_000)):
        assert sum(parameter.numel() for parameter in network.parameters()) < limit
