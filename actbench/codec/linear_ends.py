"""Linear ends around any codec: steps over channels that become part of the layers around the map."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from typing_extensions import override

from actbench.codec.codec import Codec, Folded
from actbench.codec.modules import pointwise
from actbench.codec.payload import Payload
from actbench.feature_map import FeatureMap
from actbench.info import OptionValue


class LinearEnds(Codec):
    """Stores `core(project(x))` and decodes it with `expand`: 1×1 convolutions, the first of which may be missing, and
    of which the second has no bias, which behind the zero padding of the next convolution would be wrong at the borders
    once it is folded. The codec is `Linear`."""

    def __init__(self, core: Codec, expand: nn.Conv2d, project: nn.Conv2d | None = None) -> None:
        super().__init__()
        self.core = core
        self.project = project
        self.expand = expand

    @property
    def decoder(self) -> nn.Conv2d:
        """The linear step with which decoding ends."""
        return self.expand

    @property
    def width(self) -> int | None:
        """None: what the core stores has no one width in which the map could be stored plainly instead."""
        return None

    def read(self, x: Tensor) -> Tensor:
        """What `expand` reads of a batch x, through its codes."""
        return self.core.decode(self.encode(x))

    @override
    def encode(self, x: Tensor) -> Payload:
        return self.core.encode(x if self.project is None else self.project(x))

    @override
    def decode(self, payload: Payload) -> Tensor:
        decoded: Tensor = self.expand(self.core.decode(payload))
        return decoded

    @override
    def fold(self) -> Folded:
        return Folded(self.core, self.project, self.expand)

    @override
    def describe(self) -> dict[str, OptionValue]:
        return self.core.describe()


def readers_fold(fmap: FeatureMap) -> bool:
    """Whether all that reads a map can take in a linear step before it: convolutions without groups."""
    return fmap.layout.channels_first and all(r.operation == "conv" and r.groups == 1 for r in fmap.readers)


def with_decoder(fmap: FeatureMap, core: Codec) -> Codec:
    """Puts a decoder, as yet the identity, behind a codec of a map whose readers can take it in: refitting is then open
    to the codec as it is to plain codes. Elsewhere the codec stays as it is."""
    folds = fmap.readers and readers_fold(fmap)
    return LinearEnds(core, pointwise(torch.eye(fmap.channels))) if folds else core
