"""Puts codecs into a traced network, each where it says it stands, and takes nothing else apart."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from torch import Tensor, fx, nn

from actbench.codec.codec import Codec
from actbench.codec.layouts import as_map, as_tensor
from actbench.codec.modules import build_all
from actbench.codec.payload import Payload, floating
from actbench.errors import InvalidCodec
from actbench.feature_map import CHANNELS_FIRST, FeatureMap, Layout
from actbench.network.trace import TracedNetwork

PayloadListener = Callable[[Tensor, Payload], None]


class Encode(nn.Module):
    """Encodes one map; `observer`, if there is one, sees what went in and what is stored."""

    def __init__(self, name: str, codec: Codec, layout: Layout = CHANNELS_FIRST) -> None:
        super().__init__()
        self.name = name
        self.codec = codec
        self.layout = layout
        self.observer: PayloadListener | None = None
        self.in_use = True

    def forward(self, x: Tensor) -> Payload:
        """Encodes a batch, laid out as the network has it; stores all of it while the codec is not in use."""
        x = as_map(x, self.layout)
        if not self.in_use:
            return Payload(values=floating(x))
        payload = self.codec.encode(x)
        if type(payload) is not Payload:
            raise InvalidCodec(f"encode of {self.name} returned {type(payload).__name__}, not a Payload")
        if self.observer is not None:
            self.observer(x, payload)
        return payload


class Decode(nn.Module):
    """Decodes one map, and checks that it has the shape (C, H, W) that its readers expect."""

    def __init__(self, fmap: FeatureMap, codec: Codec, shape: tuple[int, int, int] | None) -> None:
        super().__init__()
        self.name = fmap.name
        self.codec = codec
        self.shape = shape
        self.layout = fmap.layout
        self.between = build_all(fmap.between if codec.side == "around" else ())
        self.in_use = True

    def forward(self, payload: Payload) -> Tensor:
        """Decodes what is stored, laid out as the network has it. Raises InvalidCodec where the shape differs."""
        decoded = self.codec.decode(payload) if self.in_use else self.between(payload["values"])
        if self.shape is not None and tuple(decoded.shape) != (payload.batch, *self.shape):
            raise InvalidCodec(f"decode of {self.name} returned {tuple(decoded.shape)}, not {self.shape} an image")
        return as_tensor(decoded, self.layout)


@dataclass(frozen=True)
class Spliced:
    """A copy of a network with codecs in place. `encode` holds the name of the node that encodes each map."""

    module: fx.GraphModule
    encode: Mapping[str, str]

    def codecs(self) -> dict[str, Codec]:
        """Finds the codecs that are in place, by the map's name."""
        return {name: stage.codec for name, stage in self.encoders().items()}

    def encoders(self) -> dict[str, Encode]:
        """Finds the encoding stages, by the map's name."""
        return {part.name: part for part in self.module.modules() if isinstance(part, Encode)}

    def decoders(self) -> dict[str, Decode]:
        """Finds the decoding stages, by the map's name."""
        return {part.name: part for part in self.module.modules() if isinstance(part, Decode)}

    def use(self, names: Collection[str]) -> None:
        """Leaves the maps of these names to their codecs, and all others as they are in the network."""
        stages: list[Encode | Decode] = [*self.encoders().values(), *self.decoders().values()]
        for stage in stages:
            stage.in_use = stage.name in names


def splice(network: TracedNetwork, codecs: Mapping[str, Codec]) -> Spliced:
    """Copies the network so that every map that has a codec is encoded and decoded. All readers of the map,
    convolutions and additions alike, then read what was decoded: that is what is in memory."""
    module = copy.deepcopy(network.module)
    named = {node.name: node for node in module.graph.nodes}
    encode: dict[str, str] = {}
    for index, fmap in enumerate(network.maps):
        if fmap.name in codecs:
            place, target = network.places[fmap.name], f"stored.{index}_" + fmap.name.replace(".", "_")
            nodes = named[place.source], named[place.map]
            encode[fmap.name] = _insert(module, nodes, fmap, codecs[fmap.name], target)
    tidy(module)
    return Spliced(module, encode)


def insert_steps(module: fx.GraphModule, node: fx.Node, target: str, steps: nn.Sequential) -> fx.Node:
    """Inserts steps behind a node, which nobody reads yet, and gives the last of them."""
    module.add_submodule(target, steps)
    for index in range(len(steps)):
        with module.graph.inserting_after(node):
            node = module.graph.call_module(f"{target}.{index}", (node,))
    return node


def tidy(module: fx.GraphModule) -> None:
    """Removes what nothing reads any more, checks the graph and regenerates its code."""
    module.graph.eliminate_dead_code()
    module.graph.lint()
    module.delete_all_unused_submodules()
    module.recompile()


def _insert(module: fx.GraphModule, place: tuple[fx.Node, fx.Node], fmap: FeatureMap, codec: Codec, target: str) -> str:
    source, last = place
    reads = last if codec.side == "after" else source
    height, width = fmap.source if codec.side == "before" else (fmap.height, fmap.width)
    shape = (fmap.channels, height, width)
    module.add_submodule(f"{target}.encode", Encode(fmap.name, codec, fmap.layout))
    module.add_submodule(f"{target}.decode", Decode(fmap, codec, shape))
    with module.graph.inserting_after(last):
        encoded = module.graph.call_module(f"{target}.encode", (reads,))
    with module.graph.inserting_after(encoded):
        decoded = module.graph.call_module(f"{target}.decode", (encoded,))
    if codec.side == "before" and fmap.between:
        # Steps of its own: another map may have the same source and another codec, or none.
        decoded = insert_steps(module, decoded, f"{target}.between", build_all(fmap.between))
    last.replace_all_uses_with(decoded, delete_user_cb=lambda user: user not in (encoded, decoded))
    return str(encoded.name)
