"""Training of one's own with less memory: layers save what back-propagation needs as a method's payloads."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from actbench.api.calibration import Calibration, Images, default_loss
from actbench.api.in_place import InPlace, become, restore
from actbench.api.methods import choose_method, read_budget
from actbench.api.modes import in_mode
from actbench.budget import Bits, Ceiling
from actbench.codec.codec import Codec
from actbench.codec.method import Method
from actbench.codec.protocols import TrainingForm
from actbench.errors import Unsupported, UserError
from actbench.harness.network_view import PlanningNetwork
from actbench.info import OptionValue
from actbench.network.calibration import Statistics
from actbench.network.trace import trace
from actbench.recovery.objectives import Loss
from actbench.training.activations import MaskedReLU
from actbench.training.layers import SavedInput
from actbench.training.ledger import saved_bytes
from actbench.training.prepare import stand_in
from actbench.training.task import TrainingTask

Kept = Literal["quantised", "exact"]
"""How inputs of normalisations are kept: in 8 bits a value, or as they are."""


class CompressedTraining(InPlace):
    """What `compress_training` makes of a model's class: the model is still one of its own class, computes what it did,
    and saves less for the gradients."""

    _stand_ins: dict[str, nn.Module]

    def forward(self, *inputs: Any, **keywords: Any) -> Any:
        """Computes what the model computes. ReLUs that it calls as functions save bits, as its modules do."""
        with _MaskedFunctions():
            return super().forward(*inputs, **keywords)

    def saved_bytes(self, images: Tensor) -> int:
        """Bytes that a forward pass of images (n, C, H, W) in training keeps for the gradients, parameters apart. The
        model's buffers change as in any step."""
        return count_saved_bytes(self, images)

    def _undo(self) -> None:
        for name in self._stand_ins:
            self.get_submodule(name).__dict__.pop("forward", None)
        del self.__dict__["_stand_ins"]

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        """Codecs move with the model, though they are no modules of it: its `state_dict` is its own."""
        for codec in {id(saved.codec): saved.codec for saved in self._saved_inputs()}.values():
            codec._apply(fn)  # type: ignore[no-untyped-call]
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call]

    def _saved_inputs(self) -> Iterator[SavedInput]:
        parts = (part for stand_in in self._stand_ins.values() for part in stand_in.modules())
        return (part for part in parts if isinstance(part, SavedInput))


def compress_training(
    model: nn.Module,
    *,
    method: str | Method,
    ceiling: str | Ceiling,
    calibration: Images,
    bits: str | Bits = "w32a2-8",
    options: Mapping[str, OptionValue] | None = None,
    normalisation: Kept = "quantised",
    loss: Loss | None = None,
) -> CompressedTraining:
    """Has a model save, for the gradients of its weights, compressed copies of what its layers read. What it computes
    stays exact. Returns the model itself, with its parameters, their names and its mode: an optimiser stays attached.

    `ceiling` is on all that is saved together, as in `8x` or `traffic:1.5MiB` an image. Codecs are fitted on
    `calibration`, images (n, C, H, W) as the model takes them, and stay as they are while the model trains. ReLUs save
    one bit a value, and batch normalisations codes of 8 bits unless `normalisation` is `exact`. The other arguments
    are those of `compress`.

    Raises UserError and Unsupported as `compress` does.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3))
        >>> images = torch.rand(16, 3, 12, 12)
        >>> model = compress_training(model, method="none", ceiling="1x", bits="w32a32", calibration=images)
        >>> model(images).square().mean().backward()
    """
    budget = read_budget(ceiling, bits)
    budget = replace(budget, ceiling=budget.ceiling.summed())
    chosen = choose_method(method, options or {}, "training").method
    if isinstance(chosen, TrainingForm):
        raise UserError(f"method {method} trains the network in a form of its own: use torch's own function for it")
    restore(model)
    with in_mode(model, training=False):
        images = Calibration.of(calibration, model)
        channels, height, width = images.pixels.shape[1:]
        network = trace(model, (channels, height, width), "conv-inputs")
    task = TrainingTask.of(network, last=None)
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    view = PlanningNetwork(
        replace(task.view, module=copy.deepcopy(network.module)), loss or default_loss(images.targets), images, device
    )
    codecs = chosen.plan_saving(view, Statistics(network, images), budget).codecs
    return _install(model, task, codecs, normalisation)


@contextmanager
def compressed_training(model: nn.Module, **settings: Any) -> Iterator[CompressedTraining]:
    """Compresses a model's training as `compress_training` does, with the same settings, inside this context."""
    compressed = compress_training(model, **settings)
    try:
        yield compressed
    finally:
        restore(compressed)


def count_saved_bytes(model: nn.Module, images: Tensor) -> int:
    """Bytes that a forward pass of images (n, C, H, W) in training keeps for the gradients: each storage once, without
    parameters and buffers."""
    others = model._stand_ins.values() if isinstance(model, CompressedTraining) else ()
    with in_mode(model, training=True), torch.enable_grad(), saved_bytes(model, *others) as ledger:
        outputs = model(images)
        counted = ledger.bytes
        del outputs
    return counted


def _install(
    model: nn.Module, task: TrainingTask, codecs: Mapping[str, Codec], normalisation: Kept
) -> CompressedTraining:
    saved: dict[str, SavedInput] = {}
    for name, codec in codecs.items():
        if codec.side != "after":
            raise Unsupported(f"{name}: a codec {codec.side} the nonlinearity; layers save what is behind it")
        shared = SavedInput(codec)
        saved |= dict.fromkeys(task.layers[name], shared)
    stand_ins = {
        name: replacement
        for name, layer in model.named_modules()
        if (replacement := stand_in(layer, saved.get(name), masks=True, frozen=normalisation != "exact")) is not None
    }
    for name, replacement in stand_ins.items():
        model.get_submodule(name).__dict__["forward"] = replacement.forward
    compressed = become(model, CompressedTraining)
    compressed.__dict__["_stand_ins"] = stand_ins
    return compressed


class _MaskedFunctions(TorchFunctionMode):
    """ReLUs that are called as functions, or as a tensor's method, save one bit a value; not those that write in place,
    whose result may be read under the input's name."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, named = getattr(function, "__name__", ""), kwargs or {}
        apart = len(args) == 1 and not named.get("inplace") and torch.is_grad_enabled()
        if name in ("relu", "relu6") and apart:
            return MaskedReLU(6.0 if name == "relu6" else None)(args[0])
        return function(*args, **named)
