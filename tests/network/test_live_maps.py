"""What is in memory while a layer computes: by hand on one network of each kind, against a machine that forgets the
rest, and against every smaller choice."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from actbench.codec import Codec
from actbench.network.conventions import activation_bits, live_peak
from actbench.network.deploy import deploy
from actbench.network.live_maps import is_map
from actbench.network.splice import splice
from actbench.network.trace import TracedNetwork, trace
from actbench.workloads.torchvision_import import torchvision
from tests.network.forgetful import Forgetful, Forgotten
from tests.network.kinds import (
    BY_HAND,
    KINDS,
    SIZE,
    Dense,
    Exchange,
    Net,
    Shared,
    SqueezeExcite,
    Strided,
    UNet,
    VectorGate,
)


@pytest.mark.parametrize("kind", KINDS)
def test_the_maps_of_each_kind_of_network(kind: type[Net]) -> None:
    found = [
        (fmap.name, fmap.channels, fmap.height, fmap.producer, [reader.operation for reader in fmap.readers])
        for fmap in trace(kind(), SIZE).maps
    ]
    assert found == BY_HAND[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_a_map_that_convolutions_read_has_the_name_that_it_always_had(kind: type[Net]) -> None:
    live, inputs = trace(kind(), SIZE).places, trace(kind(), SIZE, "conv-inputs").places
    names = {place.map: name for name, place in inputs.items()}
    assert {name: names.get(place.map, name) for name, place in live.items()} == {name: name for name in live}
    assert {name: live[name] for name in set(live) & set(inputs)} == {n: inputs[n] for n in set(live) & set(inputs)}


@pytest.mark.parametrize("kind", KINDS)
def test_a_machine_that_forgets_the_rest_computes_the_same(kind: type[Net]) -> None:
    network = trace(kind(), SIZE)
    assert_nothing_else_is_needed(network)
    for left_out in network.held:
        others = {tensor.node for tensor in network.held} - {left_out.node}
        with pytest.raises(Forgotten):
            Forgetful(network.module, others).check(torch.randn(1, *SIZE))


def assert_nothing_else_is_needed(network: TracedNetwork) -> None:
    """Also that nothing but vectors is kept beside the maps."""
    named = {node.name: node for node in network.module.graph.nodes}
    maps = {place.map for place in network.places.values()}
    others = [named[tensor.node].meta["tensor_meta"].shape for tensor in network.held if tensor.node not in maps]
    assert all(len(shape) == 2 for shape in others)
    machine = Forgetful(network.module, {tensor.node for tensor in network.held})
    machine.check(torch.randn(1, *network.input_shape))
    assert live_peak(network, {}) == 32 * machine.live_peak()


@pytest.mark.parametrize("side", ["before", "around", "after"])
@pytest.mark.parametrize("kind", KINDS)
def test_with_codecs_in_place_only_payloads_are_kept(
    kind: type[Net], side: str, identities: Callable[[TracedNetwork, str], Mapping[str, Codec]]
) -> None:
    network, images = trace(kind(), SIZE), torch.randn(1, *SIZE)
    spliced = splice(network, identities(network, side))
    with torch.no_grad():
        torch.testing.assert_close(spliced.module(images), network.module(images))
    assert set(spliced.encode) == {fmap.name for fmap in network.maps}
    vectors = {tensor.node for tensor in network.held} - {place.map for place in network.places.values()}
    Forgetful(spliced.module, {*spliced.encode.values(), *vectors}).check(images)


@pytest.mark.parametrize("part", [0.5, 1])
@pytest.mark.parametrize("kind", KINDS)
def test_the_deployed_form_computes_the_same(
    kind: type[Net],
    part: float,
    randomize: Callable[[nn.Module], nn.Module],
    bottlenecks: Callable[[TracedNetwork, float], Mapping[str, Codec]],
) -> None:
    network, images = trace(randomize(kind()), SIZE), torch.randn(2, *SIZE)
    spliced = splice(network, bottlenecks(network, part))
    with torch.no_grad():
        expected, deployed = spliced.module(images), deploy(spliced, 32, images[:1]).module(images)
    torch.testing.assert_close(deployed, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_alive_shrinks_as_the_maps_do(kind: type[Net]) -> None:
    network = trace(kind(), SIZE)
    whole = {fmap.name: fmap.bits for fmap in network.maps}
    eighth = {name: bits // 8 for name, bits in whole.items()}
    if len(network.held) == len(network.maps):  # vectors stay as they are
        assert live_peak(network, whole) == 8 * live_peak(network, eighth) == live_peak(network, {})


def test_a_vector_that_waits_is_counted_in_fp32() -> None:
    """The two values that `excite` reads; the means are computed again from the tensor before the gate."""
    network = trace(VectorGate(), SIZE)
    assert live_peak(network, {"mean": 0, "mul": 0}) == 2 * 32
    assert live_peak(network, {"mean": 0, "mul": 8 * 32}) == (2 + 8) * 32


@pytest.mark.parametrize(
    ("kind", "peak"),
    [
        (Strided, {"a": 4 * 256, "add": 8 * 64, "c": 8 * 64}),  # while `skip` computes, with the sum
        (UNet, {"max_pool2d": 4 * 256, "interpolate": 8 * 64, "end": 4 * 256}),  # while `up` computes
        (Dense, {"cat": 4 * 256, "cat_1": 2 * 256, "cat_2": 2 * 256}),
        (SqueezeExcite, {"adaptive_avg_pool2d": 8 * 256, "excite": 2, "mul": 8}),
        (Exchange, {"fork": 4 * 256, "b": 8 * 64, "to_b": 4 * 256}),  # while `a` computes
        (Shared, {"plain": 4 * 256, "add": 4 * 256, "interpolate": 4 * 64}),
    ],
)
def test_the_live_peak_by_hand(kind: type[Net], peak: dict[str, int]) -> None:
    network = trace(kind(), SIZE)
    assert live_peak(network, {}) == 32 * sum(peak.values())
    of_others = {fmap.name: 0 for fmap in network.maps if fmap.name not in peak}
    assert live_peak(network, of_others) == 32 * sum(peak.values())


def test_activations_that_are_computed_again_are_as_small_as_what_they_are_computed_from() -> None:
    network = trace(Dense(), SIZE)
    stored = {"cat": 1000, "cat_1": 500, "cat_2": 60}
    assert [fmap.bits for fmap in network.activations] == [4 * 256 * 32, 6 * 256 * 32, 8 * 256 * 32]
    assert activation_bits(network, stored, dict.fromkeys(stored, "after")) == [1000, 1500, 1560]


@st.composite
def programs(draw: st.DrawFn) -> list[tuple[str, int, int]]:
    """Steps of a network, each with the earlier tensors that it reads."""
    steps = st.sampled_from(["conv", "conv", "relu", "pool", "add", "cat", "split"])
    return [(draw(steps), draw(st.integers(0, 3)), draw(st.integers(0, 3))) for _ in range(draw(st.integers(2, 7)))]


class Program(nn.Module):
    """What the steps say, on tensors of 4×4; the last few tensors are the outputs."""

    def __init__(self, steps: list[tuple[str, int, int]]) -> None:
        super().__init__()
        self.steps = steps
        self.stem = nn.Conv2d(1, 2, 1)
        self.convs = nn.ModuleList(nn.LazyConv2d(2, 1) for _ in steps)
        self(torch.zeros(1, 1, 4, 4))

    def forward(self, x: Tensor) -> Tensor:
        tensors = [self.stem(x)]
        for (step, one, other), layer in zip(self.steps, self.convs, strict=True):
            a, b = tensors[-1 - one % len(tensors)], tensors[-1 - other % len(tensors)]
            if step == "conv":
                tensors.append(layer(a))
            elif step == "relu":
                tensors.append(F.relu(a))
            elif step == "pool":
                tensors.append(F.interpolate(F.max_pool2d(a, 2), size=(4, 4)))
            elif step == "add":
                tensors.append(a[:, :1] + b)
            elif step == "cat":
                tensors.append(torch.cat([a, b], 1))
            else:
                tensors.append(a[:, :1])
        return tensors[-1]


@given(programs())
def test_nothing_smaller_would_do(steps: list[tuple[str, int, int]]) -> None:
    model = Program(steps)
    network, images = trace(model, (1, 4, 4)), torch.randn(1, 1, 4, 4)
    module, sizes = network.module, {tensor.node: tensor.bits // 32 for tensor in network.held}
    module.graph.eliminate_dead_code()
    Forgetful(module, sizes).check(images)
    least = sum(sizes.values())
    tensors = [node for node in module.graph.nodes if node.op not in ("placeholder", "output") and is_map(node)]
    for some in itertools.chain.from_iterable(itertools.combinations(tensors, count) for count in range(4)):
        if sum(node.meta["tensor_meta"].shape.numel() for node in some) < least:
            with pytest.raises(Forgotten):
                Forgetful(module, {node.name for node in some}).check(images)


def build(name: str) -> nn.Module:
    models = torchvision("torchvision.models.segmentation" if name.startswith("lraspp") else "torchvision.models")
    weights = {"weights": None, "weights_backbone": None} if name.startswith("lraspp") else {"weights": None}
    return getattr(models, name)(**weights).eval()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The default weight initialization:FutureWarning")
@pytest.mark.parametrize(
    "name",
    ["resnet18", "resnet50", "densenet121", "efficientnet_b0", "mobilenet_v2", "shufflenet_v2_x0_5", "googlenet",
     "lraspp_mobilenet_v3_large"],
)  # fmt: skip
def test_a_machine_that_forgets_the_rest_computes_torchvisions_networks(
    name: str, identities: Callable[[TracedNetwork, str], Mapping[str, Codec]]
) -> None:
    network = trace(build(name), (3, 64, 64))
    assert_nothing_else_is_needed(network)
    spliced = splice(network, identities(network, "around"))
    vectors = {tensor.node for tensor in network.held} - {place.map for place in network.places.values()}
    Forgetful(spliced.module, {*spliced.encode.values(), *vectors}).check(torch.randn(1, 3, 64, 64))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "before"), [("resnet50", 1.95), ("efficientnet_b0", 2.91), ("densenet121", 2.23), ("mobilenet_v2", 8)]
)
def test_at_an_eighth_an_eighth_is_alive(name: str, before: float) -> None:
    """What convolutions read alone leaves skips and gated tensors in fp32."""
    ratios = []
    for maps in ("conv-inputs", "live"):
        with torch.device("meta"):
            network = trace(build(name), (3, 224, 224), maps)  # type: ignore[arg-type]
        ratios.append(live_peak(network, {}) / live_peak(network, {f.name: f.bits // 8 for f in network.maps}))
    assert ratios == [pytest.approx(before, abs=0.01), 8]
