"""Preparation of a traced network for training with compressed activations."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import cast

from torch import fx, nn

from actbench.codec.codec import Codec
from actbench.settings import Normalisation
from actbench.training.activations import FrozenNorm, MaskedReLU, QuantisedNorm
from actbench.training.layers import CompressedConv2d, CompressedLinear, HookedLayer, SavedInput
from actbench.training.pooling import IndexedMaxPool
from actbench.training.recompute import NormalisedBefore, NormalisedConv2d


def prepare(
    module: fx.GraphModule,
    codecs: Mapping[str, Codec],
    *,
    masks: bool = True,
    normalisation: Normalisation = "quantised",
) -> fx.GraphModule:
    """Copies a network so that each layer with a codec, by the layer's name, saves its input as the codec's payload;
    layers that share one codec share what it stores.

    With `masks` every ReLU saves bits in place of its output, every maximum pooling places in place of its input, and
    with `normalisation` `quantised` every batch
    normalisation saves codes in place of its input; one without a trained parameter, in evaluation, saves nothing. With
    `recomputed` one that trains behind a layer with a codec saves nothing either. Without any this is the mechanism
    alone, as the papers have it.
    """
    prepared = copy.deepcopy(module)
    inputs = {id(codec): SavedInput(codec) for codec in codecs.values()}
    saved = {name: inputs[id(codec)] for name, codec in codecs.items()}
    if normalisation == "recomputed":
        _join_normalisations(prepared, saved)
    for name, layer in list(prepared.named_modules()):
        replacement = stand_in(layer, saved.get(name), masks=masks, frozen=normalisation != "exact")
        if replacement is not None:
            _replace(prepared, name, replacement)
    if masks:
        _replace_functions(prepared)
    prepared.recompile()
    return prepared


def _join_normalisations(module: fx.GraphModule, saved: Mapping[str, SavedInput]) -> None:
    """Gives each convolution with a codec the normalisation that alone reads what it computes."""
    named = dict(module.named_modules())
    for node in module.graph.nodes:
        source = node.args[0] if node.op == "call_module" and node.args else None
        if not isinstance(source, fx.Node) or source.op != "call_module" or len(source.users) > 1:
            continue
        norm, layer = named[str(node.target)], named[str(source.target)]
        trained = isinstance(norm, nn.BatchNorm2d) and norm.training
        if trained and isinstance(layer, nn.Conv2d) and str(source.target) in saved:
            _replace(module, str(source.target), NormalisedConv2d(layer, norm, saved[str(source.target)]))
            _replace(module, str(node.target), NormalisedBefore(norm))


def _replace(module: nn.Module, name: str, replacement: nn.Module) -> None:
    parent, _, attribute = name.rpartition(".")
    setattr(module.get_submodule(parent), attribute, replacement)


def _compressed(layer: nn.Module, saved: SavedInput) -> nn.Module:
    if isinstance(layer, nn.Conv2d):
        return CompressedConv2d(layer, saved)
    return CompressedLinear(layer, saved) if isinstance(layer, nn.Linear) else HookedLayer(layer, saved)


def stand_in(layer: nn.Module, saved: SavedInput | None, *, masks: bool, frozen: bool) -> nn.Module | None:
    """Makes what computes in a layer's place and saves less; None where the layer saves what it has to. `frozen`:
    whether normalisations are stood in for, too."""
    if saved is not None and not isinstance(layer, NormalisedConv2d):
        return _compressed(layer, saved)
    if masks and IndexedMaxPool.stands_in_for(layer):
        return IndexedMaxPool(cast(nn.MaxPool2d, layer))
    if masks and isinstance(layer, nn.ReLU6):
        return MaskedReLU(6.0)
    if masks and isinstance(layer, nn.ReLU):
        return MaskedReLU()
    if frozen and isinstance(layer, nn.BatchNorm2d):
        trained = layer.training or any(p.requires_grad for p in layer.parameters())
        return QuantisedNorm(layer) if trained else FrozenNorm(layer)
    return None


def _replace_functions(module: fx.GraphModule) -> None:
    """Replaces ReLUs that are called as functions, or as a tensor's method, by modules."""
    for number, node in enumerate(list(module.graph.nodes)):
        target = getattr(node.target, "__name__", node.target)
        called = node.op in ("call_function", "call_method") and target in ("relu", "relu_", "relu6")
        if called:
            name = f"masked_relu_{number}"
            module.add_submodule(name, MaskedReLU(6.0 if target == "relu6" else None))
            node.op, node.target, node.args, node.kwargs = "call_module", name, node.args[:1], {}
    module.graph.lint()
