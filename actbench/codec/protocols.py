"""Protocols for what a codec, a method or a network may offer beyond its interface: small, and asked for by
`isinstance`."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from actbench.codec.payload import Payload


@runtime_checkable
class Gradual(Protocol):
    """A codec for recipes that compress gradually (`Recipe.gradual`)."""

    def approach(self, progress: float) -> None:
        """Sets the codec as mild as at a share `progress`, 0 to 1, of the way to the planned setting. What is stored on
        the way may be more than the allowance; at 1 the codec is as it was planned, or as it was learned on the way,
        within its allowance. The first call, with 0, is before the optimiser gets the parameters: they stay the same
        from then on."""


@runtime_checkable
class Priced(Protocol):
    """A codec with a term of its own in the loss of recovery training."""

    def price(self) -> Tensor:
        """Computes the term, (), with gradients: the sum over all codecs is added to the recipe's loss."""


@runtime_checkable
class Penalised(Protocol):
    """A codec for recipes that train maps towards what it codes well (`Recipe.penalty`)."""

    def penalty(self, x: Tensor) -> Tensor:
        """Computes what a batch x (batch, C, H, W) of what `encode` gets adds to the loss, before the recipe's weight:
        a scalar, the mean over images, with its gradient."""


@runtime_checkable
class ReadsStored(Protocol):
    """A codec whose readers can convolve what is stored, without decoding the map first."""

    def convolve(self, payload: Payload, convolution: nn.Conv2d) -> Tensor | None:
        """Convolves the decoded map → (batch, C', H', W'); None for a convolution that this codec cannot do."""


@runtime_checkable
class TrainingCodec(Protocol):
    """A codec on the training track that has the gradients of weights from what it stored, without decoding."""

    def convolution_weight_gradient(self, payload: Payload, gradient: Tensor, convolution: nn.Conv2d) -> Tensor | None:
        """Computes the gradient of the convolution's weight, (C', C/groups, kh, kw), from what was stored of its input
        and ∂L/∂y `gradient` (batch, C', H', W'); None for a convolution that this codec cannot do."""

    def linear_weight_gradient(self, payload: Payload, gradient: Tensor) -> Tensor | None:
        """Computes the gradient of a linear layer's weight, (out, in), from what was stored of its input and ∂L/∂y
        `gradient` (…, out); None where this codec cannot do it."""


@runtime_checkable
class TrainingForm(Protocol):
    """A reference method of the training track that carries out the same computation so that it keeps less."""

    def training_form(self, module: nn.Module) -> nn.Module:
        """Gives the same network in another form, for example one that computes again in backward. The module's
        parameters must stay its own, in their order. Raises Unsupported with the reason where this cannot help."""


@runtime_checkable
class Linear(Protocol):
    """A codec whose last step is linear over channels: `decode(encode(x)) = decoder(read(x))`. The step can be fitted
    to what compressed maps before it leave, and where all channels are kept, it need not be there."""

    @property
    def decoder(self) -> nn.Conv2d:
        """The step, a 1×1 convolution from k to C channels, with a bias or without."""

    @property
    def width(self) -> int | None:
        """The width of all stored codes, 32 for floating point; None where it differs from channel to channel, or where
        plain codes of the map would be no substitute for what is stored."""

    def read(self, x: Tensor) -> Tensor:
        """What the step reads of a batch, (batch, k, H, W): values that went through their codes."""


@runtime_checkable
class Clipped(Protocol):
    """A codec whose stored channels can have a clip each, as static tables."""

    def clip_channels(self, x: Tensor) -> None:
        """Gives each stored channel the clip of least squared error on a batch x of what `encode` gets."""


@runtime_checkable
class Branchless(Protocol):
    """A codec that writes strings of bits, and can do without them and without a branch on values: what a program that
    is recorded once, for all images, needs."""

    def encode_values(self, x: Tensor) -> Payload:
        """Encodes a batch (batch, C, H, W) to what `decode` takes in place of strings: the values that they stand
        for."""
