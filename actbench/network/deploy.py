"""Deployment of a compressed network: normalisation and codecs folded, weights quantised, and layers that can convolve
what is stored reading it directly."""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor, fx, nn

from actbench.codec.codec import Codec
from actbench.codec.payload import Payload
from actbench.codec.protocols import ReadsStored
from actbench.network import nodes
from actbench.network.constants import fold_constants
from actbench.network.fold import fold, fold_batch_norm
from actbench.network.layers import raise_layers
from actbench.network.quantize import fold_parametrisations, quantize_weights
from actbench.network.splice import Decode, Encode, Spliced, tidy


class StoredConvolution(nn.Module):
    """A convolution that is computed from the payload, without decoding the map first."""

    def __init__(self, codec: ReadsStored, convolution: nn.Conv2d) -> None:
        super().__init__()
        assert isinstance(codec, Codec)
        self.codec = codec
        self.convolution = convolution

    def forward(self, payload: Payload) -> Tensor:
        """Convolves what is stored → (batch, C_out, H_out, W_out)."""
        result = cast(ReadsStored, self.codec).convolve(payload, self.convolution)
        assert result is not None, "a codec that convolved one payload declined another of the same layout"
        return result


def deploy(spliced: Spliced, weight_bits: int, image: Tensor | None = None) -> Spliced:
    """Copies a network into its deployed form. With an `image` (1, C, H, W), which finds out which layers can, layers
    read payloads; without one they read what is decoded."""
    deployed = copy.deepcopy(spliced)
    deployed.module.eval()
    fold_parametrisations(deployed.module)
    fold_constants(deployed.module)
    raise_layers(deployed.module)
    fold_batch_norm(deployed.module)
    fold(deployed)
    if image is not None:
        _convolve_stored(deployed, image)
    quantize_weights(deployed.module, weight_bits)
    return deployed


def _convolve_stored(deployed: Spliced, image: Tensor) -> None:
    payloads = _payloads(deployed, image)
    named = {node.name: node for node in deployed.module.graph.nodes}
    for name, encode_name in deployed.encode.items():
        encode = named[encode_name]
        stage = cast(Encode, nodes.module_of(encode))
        decode = next((user for user in encode.users if isinstance(nodes.module_of(user), Decode)), None)
        if decode is None or name not in payloads or not stage.layout.channels_first:
            continue
        for reader in list(decode.users):
            _redirect(deployed.module, encode, reader, stage.codec, payloads[name])
    tidy(deployed.module)


def _redirect(module: fx.GraphModule, encode: fx.Node, reader: fx.Node, codec: Codec, payload: Payload) -> None:
    convolution = nodes.module_of(reader)
    if not isinstance(convolution, nn.Conv2d) or not isinstance(codec, ReadsStored):
        return
    with torch.no_grad():
        if codec.convolve(payload, convolution) is None:
            return
    target = f"stored_{reader.name}"
    module.add_submodule(target, StoredConvolution(codec, convolution))
    reader.target = target
    reader.args = (encode,)
    reader.kwargs = {}


def _payloads(deployed: Spliced, image: Tensor) -> dict[str, Payload]:
    """The payloads of the codecs that can be read directly: all others would take much memory for nothing."""
    payloads: dict[str, Payload] = {}
    encoders = {name: one for name, one in deployed.encoders().items() if isinstance(one.codec, ReadsStored)}
    for name, encoder in encoders.items():
        encoder.observer = lambda _, payload, name=name: payloads.__setitem__(name, payload)
    with torch.no_grad():
        deployed.module(image)
    for encoder in encoders.values():
        encoder.observer = None
    return payloads
