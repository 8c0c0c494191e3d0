"""Refit: linear decoders towards the fp32 network's map."""

import torch
from torch import Tensor

from actbench.codec import MapStatistics, PlainCodec
from actbench.codec.plain import RefittedPlainCodec
from actbench.fitting.refit import refitted
from actbench.network.calibration import Statistics
from actbench.network.deploy import deploy
from actbench.network.fold import Pointwise
from actbench.network.splice import splice
from actbench.network.trace import TracedNetwork

from .conftest import images, plain, projection


def disturbed(stats: MapStatistics) -> Tensor:
    """The map as it is behind compressed ones: its channels mixed a little, and noisy."""
    generator = torch.Generator().manual_seed(0)
    x = stats.after.sample
    mixing = torch.eye(x.shape[1]) + 0.2 * torch.randn(x.shape[1], x.shape[1], generator=generator)
    return torch.einsum("ij,njhw->nihw", mixing, x)


def test_the_error_towards_the_fp32_map_falls(network: TracedNetwork, statistics: Statistics) -> None:
    fmap = network.maps[1]
    observed, target = disturbed(statistics[fmap.name]), statistics[fmap.name].after.sample
    codec = projection(fmap, statistics, 6)
    with torch.no_grad():
        before = float((codec(observed) - target).square().sum())
        assert refitted(fmap, codec, observed, observed, statistics[fmap.name]) is codec
        after = float((codec(observed) - target).square().sum())
    assert after < 0.7 * before


def test_plain_codes_get_a_decoder_where_all_readers_take_it_in(network: TracedNetwork, statistics: Statistics) -> None:
    inner = [fmap for fmap in network.maps if all(reader.operation == "conv" for reader in fmap.readers)]
    skips = [fmap for fmap in network.maps if fmap not in inner]
    assert inner
    assert skips
    for fmap in network.maps:
        stats = statistics[fmap.name]
        observed = disturbed(stats)
        codec = refitted(fmap, plain(fmap, statistics, 4), observed, observed, stats)
        assert isinstance(codec, RefittedPlainCodec) == (fmap in inner)
        assert isinstance(codec, PlainCodec)


def test_nothing_is_left_of_it_in_the_deployed_form(network: TracedNetwork, statistics: Statistics) -> None:
    observed = {fmap.name: disturbed(statistics[fmap.name]) for fmap in network.maps}
    codecs = {
        fmap.name: refitted(fmap, plain(fmap, statistics, 8), *[observed[fmap.name]] * 2, statistics[fmap.name])
        for fmap in network.maps
    }
    spliced = splice(network, codecs)
    deployed = deploy(spliced, 32)
    assert not [layer for layer in deployed.module.modules() if isinstance(layer, Pointwise)]
    with torch.no_grad():
        torch.testing.assert_close(deployed.module(images(4)), spliced.module(images(4)), rtol=1e-4, atol=1e-4)


def test_a_codec_without_a_linear_decoder_stays_as_it_is(network: TracedNetwork, statistics: Statistics) -> None:
    fmap = next(fmap for fmap in network.maps if any(reader.operation != "conv" for reader in fmap.readers))
    codec = plain(fmap, statistics, 4)
    observed = statistics[fmap.name].after.sample
    assert refitted(fmap, codec, observed, observed, statistics[fmap.name]) is codec
