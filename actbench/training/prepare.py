"""A traced network made ready for training with compressed activations."""

from __future__ import annotations

import copy
from collections.abc import Mapping

from torch import fx, nn

from actbench.method import Codec
from actbench.training.activations import FrozenNorm, MaskedReLU, NormalisationSaving, QuantisedNorm
from actbench.training.layers import CompressedConv2d, CompressedLinear, SavedInput


def prepare(
    module: fx.GraphModule,
    codecs: Mapping[str, Codec],
    *,
    masks: bool = True,
    normalisation: NormalisationSaving = "quantised",
) -> fx.GraphModule:
    """A copy in which each layer with a codec, by the layer's name, saves its input as the codec's payload; layers that
    share one codec share what it stores.

    With `masks` every ReLU saves bits in place of its output, and with `normalisation` `quantised` every batch
    normalisation saves codes in place of its input; one without a trained parameter, in evaluation, saves nothing.
    Without either this is the mechanism alone, as the papers have it.
    """
    prepared = copy.deepcopy(module)
    inputs = {id(codec): SavedInput(codec) for codec in codecs.values()}
    saved = {name: inputs[id(codec)] for name, codec in codecs.items()}
    for name, layer in list(prepared.named_modules()):
        replacement = _replacement(layer, saved.get(name), masks=masks, normalisation=normalisation)
        if replacement is not None:
            parent, _, own = name.rpartition(".")
            setattr(prepared.get_submodule(parent), own, replacement)
    if masks:
        _replace_functions(prepared)
    prepared.recompile()
    return prepared


def _replacement(
    layer: nn.Module, saved: SavedInput | None, *, masks: bool, normalisation: NormalisationSaving
) -> nn.Module | None:
    if saved is not None and isinstance(layer, nn.Conv2d):
        return CompressedConv2d(layer, saved)
    if saved is not None and isinstance(layer, nn.Linear):
        return CompressedLinear(layer, saved)
    if masks and isinstance(layer, nn.ReLU6):
        return MaskedReLU(6.0)
    if masks and isinstance(layer, nn.ReLU):
        return MaskedReLU()
    if normalisation == "quantised" and isinstance(layer, nn.BatchNorm2d):
        frozen = not layer.training and not any(p.requires_grad for p in layer.parameters())
        return FrozenNorm(layer) if frozen else QuantisedNorm(layer)
    return None


def _replace_functions(module: fx.GraphModule) -> None:
    """ReLUs that are called as functions, or as a tensor's method, become modules."""
    for number, node in enumerate(list(module.graph.nodes)):
        target = getattr(node.target, "__name__", node.target)
        called = node.op in ("call_function", "call_method") and target in ("relu", "relu_", "relu6")
        if called:
            name = f"masked_relu_{number}"
            module.add_submodule(name, MaskedReLU(6.0 if target == "relu6" else None))
            node.op, node.target, node.args, node.kwargs = "call_module", name, node.args[:1], {}
    module.graph.lint()
