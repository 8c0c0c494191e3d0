"""Maps in sequence: the same network as with codecs spliced in."""

import torch
from torch import Tensor, nn

from actbench.codec import Codec, FeatureMap, PlainCodec, UniformQuantizer
from actbench.codec.principal_components import Components
from actbench.feature_map import CHANNELS_LAST
from actbench.fitting.plain_maps import decode_as_read
from actbench.fitting.sequence import CompressingRun
from actbench.network.calibration import Statistics
from actbench.network.splice import splice
from actbench.network.trace import TracedNetwork, trace
from actbench_plugins.greedy.codec import ComponentCodec
from actbench_plugins.prochan.codec import ProChanCodec

from .conftest import images, plain, projection


def compressed(network: TracedNetwork, codecs: dict[str, Codec], x: Tensor) -> Tensor:
    """The network's outputs, each map encoded and decoded on the way."""
    run = CompressingRun(network, lambda fmap, *sides: decode_as_read(fmap, codecs[fmap.name], *sides))
    outputs: Tensor = run.run(x)
    return outputs


def one_of_each(network: TracedNetwork, statistics: Statistics) -> dict[str, Codec]:
    """Codecs on every side of the nonlinearity, in turn."""
    codecs: dict[str, Codec] = {}
    for number, fmap in enumerate(network.maps):
        stats = statistics[fmap.name]
        components = Components.of(stats.before).only(slice(5))
        choices = (
            lambda fmap=fmap: projection(fmap, statistics, 4),
            lambda fmap=fmap: ProChanCodec(fmap, torch.eye(8)[:5], torch.eye(8)[:, :5], UniformQuantizer(5, 0, 2)),
            lambda components=components: ComponentCodec(components, UniformQuantizer(5, -2, 2)),
            lambda fmap=fmap: plain(fmap, statistics, 3),
        )
        codecs[fmap.name] = choices[number % len(choices)]()
    return codecs


def test_it_computes_what_the_network_with_codecs_does(network: TracedNetwork, statistics: Statistics) -> None:
    codecs, x = one_of_each(network, statistics), images(6, 5)
    with torch.no_grad():
        given = CompressingRun(network, lambda f, before, after: decode_as_read(f, codecs[f.name], before, after)).run(
            x
        )
        expected = splice(network, codecs).module(x)
        plainly = network.module(x)
    torch.testing.assert_close(given, expected)
    assert not torch.allclose(given, plainly, rtol=1e-2, atol=1e-2)


def test_each_map_comes_once_in_the_order_in_which_maps_are_read(
    network: TracedNetwork, statistics: Statistics
) -> None:
    seen: list[str] = []

    def compress(fmap: FeatureMap, before: Tensor, after: Tensor) -> Tensor:
        seen.append(fmap.name)
        assert tuple(before.shape) == (2, fmap.channels, *fmap.source)
        assert tuple(after.shape) == (2, fmap.channels, fmap.height, fmap.width)
        return after

    with torch.no_grad():
        given = CompressingRun(network, compress).run(images(2))
        torch.testing.assert_close(given, network.module(images(2)))
    assert sorted(seen) == sorted(fmap.name for fmap in network.maps)


def test_channels_last_maps_come_channels_first() -> None:
    class Mixer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 6, 3), nn.Linear(6, 6)
            self.last = nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x).permute(0, 2, 3, 1)
            return self.last(torch.relu(self.second(torch.relu(x)))).mean((1, 2))

    network = trace(Mixer().eval(), (3, 8, 8))
    assert any(fmap.layout == CHANNELS_LAST for fmap in network.maps)
    codecs: dict[str, Codec] = {fmap.name: PlainCodec(UniformQuantizer(3, 0, 1)) for fmap in network.maps}
    x = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        given = CompressingRun(network, lambda f, before, after: decode_as_read(f, codecs[f.name], before, after)).run(
            x
        )
        torch.testing.assert_close(given, splice(network, codecs).module(x))
