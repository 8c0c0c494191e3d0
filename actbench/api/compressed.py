"""A model whose feature maps are stored compressed: the model itself, with a class that says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from actbench.api import report
from actbench.api.in_place import InPlace, become
from actbench.api.modes import in_mode
from actbench.budget import Budget
from actbench.codec.codec import Codec
from actbench.codec.protocols import Priced
from actbench.errors import UserError
from actbench.feature_map import FeatureMap
from actbench.fitting.services import Services
from actbench.measure.footprint import Meter, measure_footprint
from actbench.measure.tables import static_bits
from actbench.network.conventions import live_peak
from actbench.network.deploy import deploy
from actbench.network.splice import Spliced
from actbench.network.trace import TracedNetwork
from actbench.network.ways import named_tensors
from actbench.records.parts.footprint import Footprint
from actbench.runtime.network import StripedNetwork
from actbench.runtime.stripes import Stripe


class Codecs(nn.ModuleDict):
    """A model's codecs, by the numbers of their maps. They are modules of the model, so that they move with it and an
    optimiser finds what they learn; but the model's `state_dict` has its own names alone, and theirs is here."""

    def __init__(self, codecs: Mapping[str, Codec]) -> None:
        super().__init__(codecs)
        self.register_load_state_dict_post_hook(_miss_nothing)  # type: ignore[no-untyped-call]

    def state_dict(self, *arguments: Any, **keywords: Any) -> Any:
        """What the codecs learned or were fitted with; nothing where the model asks for all of its own."""
        if keywords.get("destination") is not None or arguments:
            return keywords.get("destination", arguments[0] if arguments else None)
        return super().state_dict(**keywords)


def _miss_nothing(codecs: nn.Module, keys: Any) -> None:
    """A checkpoint of the model, or of what holds it, is whole without the codecs."""
    own = {f"codecs.{name}" for name in codecs.state_dict()}
    keys.missing_keys[:] = [key for key in keys.missing_keys if not any(f".{key}".endswith(f".{name}") for name in own)]


@dataclass
class Compression:
    """What a compressed model is made of: the traced fp32 `network`, and the graph with codecs that runs in its place.

    `tensors`: the model's tensor, by name, of each in the graph. `before`: buffers of the model, by name, as they were
    before normalisations were estimated again.
    """

    network: TracedNetwork
    spliced: Spliced
    budget: Budget
    method: str
    kept: Services
    tensors: dict[str, str] = field(init=False)
    before: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        own = {name for name, _ in named_tensors(self.spliced.module)}
        self.tensors = {path: name for path, name in self.network.tensors.items() if path in own}

    def run(self, model: nn.Module, x: Tensor) -> Any:
        """Computes the model's outputs from stored maps. Raises UserError for images of another size."""
        expected, given = self.network.input_shape, tuple(x.shape[1:])
        if given != expected:
            raise UserError(
                f"the model was compressed for images of {_size(expected)} and got {_size(given)}: compress it again "
                "with calibration images of that size"
            )
        self.link(model)
        return self.spliced.module(x)

    def link(self, model: nn.Module) -> None:
        """Has the graph compute with the model's own tensors, and in its modes: what moves a model to a device may put
        others in their place."""
        tensors, modes = dict(named_tensors(model)), {name: part.training for name, part in model.named_modules()}
        for path, name in self.tensors.items():
            owner, _, key = path.rpartition(".")
            module = self.spliced.module.get_submodule(owner)
            kept: dict[str, Any] = module._parameters if key in module._parameters else module._buffers
            kept[key] = tensors[name]
        for name, part in self.spliced.module.named_modules():
            part.training = modes.get(name, model.training)


class Compressed(InPlace):
    """What `compress` makes of a model's class: the model is still one of its own class, and computes from stored maps.
    Dropout is not active, in training neither, as in the protocol's recovery."""

    _instead = "save its state_dict(), and that of its codecs, and compress again"
    _compression: Compression
    codecs: Codecs

    def forward(self, x: Tensor) -> Any:
        """Computes what the model computes, from images (batch, C, H, W) of the size that it was compressed for."""
        return self._compression.run(self, x)

    @property
    def maps(self) -> tuple[FeatureMap, ...]:
        """The model's feature maps, in the order in which they are written."""
        return self._compression.network.maps

    @property
    def plan(self) -> Mapping[str, Codec]:
        """The codec of each map, by the map's name."""
        return self._compression.spliced.codecs()

    @property
    def kept_fit(self) -> Set[str]:
        """What of the help that every method gets was kept: see `--fit` in the protocol."""
        return self._compression.kept

    def footprint(self, images: Tensor) -> report.Counted:
        """Counts the bits that are stored of images (n, C, H, W), map by map."""
        return report.Counted(str(self._compression.budget), _footprint(self._compression, self, images))

    def deploy(self, stripe: Stripe = "auto") -> StripedNetwork:
        """The network as it would be used, a copy: codecs and normalisations folded, weights quantised, only packed
        payloads between layers, and maps computed in stripes of rows; `stripe`: how many, or `off` for whole maps."""
        deployed = deploy(self._compression.spliced, self._compression.budget.bits.weights)
        return StripedNetwork(deployed.module, stripe)

    def finetune_parameters(self) -> Iterator[nn.Parameter]:
        """Yields what an optimiser should train: the model's parameters and those of codecs that learn."""
        return (parameter for parameter in self.parameters() if parameter.requires_grad)

    def price(self) -> Tensor:
        """Computes what codecs that learn their bits add to the loss, (): 0 where there are none."""
        prices = [codec.price() for codec in self.plan.values() if isinstance(codec, Priced)]
        return torch.stack(prices).sum() if prices else torch.zeros(())

    @torch.no_grad()
    def _undo(self) -> None:
        buffers = dict(self.named_buffers())
        for name, value in self._compression.before.items():
            buffers[name].copy_(value)
        del self.codecs
        del self.__dict__["_compression"]

    def _repr_html_(self) -> str:
        return report.plan_as_html(self._compression.network.maps, self.plan, str(self._compression.budget))


_OFFERED = {name for name in vars(Compressed) if not name.startswith("_")} - {"forward"} | {"codecs"}


def install(model: nn.Module, compression: Compression) -> Compressed:
    """Has a model run a graph with codecs whose other modules are the model's own. Raises UserError where it has
    something of the same names as a compressed model."""
    taken = sorted(name for name in _OFFERED if hasattr(model, name))
    if taken:
        raise UserError(f"{type(model).__name__} has a {taken[0]!r} of its own: compress a module that holds it")
    _share(model, compression)
    stages = compression.spliced.encoders().values()
    compressed = become(model, Compressed)
    compressed._compression = compression
    compressed.codecs = Codecs({str(number): stage.codec for number, stage in enumerate(stages)})
    return compressed


@torch.no_grad()
def _share(model: nn.Module, compression: Compression) -> None:
    """Has the graph compute with the model's own tensors, into which statistics that were estimated again go. Raises
    UserError where a parameter of the graph is none of the model's."""
    network, graph = compression.network, dict(named_tensors(compression.spliced.module))
    apart = [name for name in graph if not name.startswith("stored.") and name not in network.tensors]
    parameters = [name for name in apart if isinstance(graph[name], nn.Parameter)]
    if parameters or network.notes:
        reason = network.notes[0] if network.notes else f"{parameters[0]} is computed from other parameters"
        raise UserError(f"{type(model).__name__} cannot share its weights with the graph: {reason}")
    tensors = dict(named_tensors(model))
    for path, name in compression.tensors.items():
        if not isinstance(graph[path], nn.Parameter) and not torch.equal(tensors[name], graph[path]):
            compression.before[name] = tensors[name].clone()
            tensors[name].copy_(graph[path])
    compression.link(model)


@torch.no_grad()
def _footprint(compression: Compression, model: nn.Module, images: Tensor) -> Footprint:
    network, spliced = compression.network, compression.spliced
    with in_mode(model, training=False), Meter(spliced) as meter:
        for some in images.split(32):
            compression.run(model, some)
    weights = compression.budget.bits.weights
    tables = static_bits(deploy(spliced, weights), weights)
    limit = compression.budget.ceiling.limit(network.maps)
    return measure_footprint(network, spliced.codecs(), tables, meter, limit, live_peak(network, {}))


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
