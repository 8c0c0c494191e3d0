"""HOSVD of what a layer saves for its weight's gradient, and that gradient from the decomposition itself."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from actbench.codec import Codec, Field, Payload, floating, unsigned
from actbench.codec.quantizers import at_least_fp32
from actbench.info import OptionValue
from actbench_plugins.hosvd.decomposition import Decomposition, hosvd_epsilon, hosvd_within, mode_product, unfold

_RANK_BITS = 32


class SavedDecomposition(Codec):
    """A whole batch's tensor of n modes as core (K_0, …, K_{n−1}) and factors (n_i, K_i), in the tensor's own type: in
    `Π K_i + Σ n_i·K_i` values, or raw where the tensor itself has no more; and n ranks of 32 bits.

    The ranks are those of a share ε of each mode's variance (Nguyen et al., arXiv 2411.06346, equation 8), or with
    `most`, values for each of a batch's images, those of the largest ε that fits (ours).
    """

    def __init__(self, epsilon: float | None = None, most: int | None = None) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.most = most

    @override
    def encode(self, x: Tensor) -> Payload:
        found = hosvd_epsilon(x, self.epsilon) if self.epsilon else hosvd_within(x, (self.most or 0) * len(x))
        parts = {"core": found.core} | {f"factor{mode}": factor for mode, factor in enumerate(found.factors)}
        if sum(part.numel() for part in parts.values()) >= x.numel():
            return Payload(raw=floating(x[None]), ranks=_ranks([0] * x.dim(), x))
        fields = {name: floating(part.to(x.dtype)[None]) for name, part in parts.items()}
        return Payload(**fields, ranks=_ranks(found.core.shape, x))

    @override
    def decode(self, payload: Payload) -> Tensor:
        if "raw" in payload:
            return payload["raw"][0]
        return _decomposition(payload).restore()[0].to(payload["core"].dtype)

    def convolution_weight_gradient(self, payload: Payload, gradient: Tensor, convolution: nn.Conv2d) -> Tensor | None:
        """With X ≈ S ×_0 U_0 ×_1 U_1 ×_2 U_2 ×_3 U_3, padded in its factors of rows and columns,

            Z = gradient of the weight for the input S ×_2 U_2 ×_3 U_3 (K_0, K_1, H, W) and U_0ᵀ·∂L/∂y (K_0, C', H', W')
            ∂L/∂W = Z ×_1 U_1

        a convolution of K_0 images of K_1 channels. Groups: each output channel takes the rows of U_1 of its own.
        """
        if "raw" in payload or convolution.padding_mode != "zeros":
            return None
        found = _decomposition(payload)
        images, channels, rows, columns = found.factors
        top, bottom, left, right = _padding(convolution)
        planes = mode_product(found.core, functional.pad(rows, (0, 0, top, bottom)), 2)
        planes = mode_product(planes, functional.pad(columns, (0, 0, left, right)), 3)[0]
        reduced = (images[0].T @ gradient.to(images.dtype).flatten(1)).unflatten(1, gradient.shape[1:])
        like = planes.new_empty(gradient.shape[1], planes.shape[1], *convolution.kernel_size)
        z = _weight_gradient(reduced, planes, like, convolution).unflatten(0, (convolution.groups, -1))
        result: Tensor = torch.einsum("gokhw,gck->gochw", z, channels[0].unflatten(0, (convolution.groups, -1)))
        return result.flatten(0, 1).to(gradient.dtype)

    def linear_weight_gradient(self, payload: Payload, gradient: Tensor) -> Tensor | None:
        """`∂L/∂W = (∂L/∂y ×_0 U_0ᵀ …)ᵀ S U_lastᵀ`, the leading modes of both taken together."""
        if "raw" in payload:
            return None
        found = _decomposition(payload)
        reduced = gradient.to(found.core.dtype)[None]
        for mode, factor in enumerate(found.factors[:-1]):
            reduced = mode_product(reduced, factor.mT, mode)
        core = found.core.flatten(0, -2)
        return (reduced.flatten(0, -2).T @ core @ found.factors[-1][0].T).to(gradient.dtype)

    @override
    def describe(self) -> dict[str, OptionValue]:
        return {"epsilon": self.epsilon} if self.epsilon else {"values": self.most or 0}


def _ranks(ranks: Sequence[int], like: Tensor) -> Field:
    """Side information: they follow from the values."""
    return unsigned(torch.tensor([list(ranks)], device=like.device), _RANK_BITS, side=True)


class SavedMatrix(SavedDecomposition):
    """The singular value decomposition of the unfolding (B, C·H·W) of a batch (B, C, H, W), kept in the same way, and
    restored for the gradient (SVD_ε of arXiv 2411.06346)."""

    def __init__(self, shape: tuple[int, int, int], epsilon: float | None = None, most: int | None = None) -> None:
        super().__init__(epsilon, most)
        self.shape = shape

    @override
    def encode(self, x: Tensor) -> Payload:
        return super().encode(x.flatten(1))

    @override
    def decode(self, payload: Payload) -> Tensor:
        restored: Tensor = super().decode(payload).unflatten(1, self.shape)
        return restored

    @override
    def convolution_weight_gradient(self, payload: Payload, gradient: Tensor, convolution: nn.Conv2d) -> Tensor | None:
        return None


class SavedSubspace(SavedDecomposition):
    """A decomposition of fixed ranks. Each factor comes from that of the step before by one power iteration,
    `U ← orthonormal(X_(i) X_(i)ᵀ U)`: products in place of eigenvectors. What it keeps from step to step decides how
    good a payload is, not what it means."""

    def __init__(self, sample: Tensor, most: int) -> None:
        """`sample` (B, C, H, W): images of calibration; `most`: values for each image of a batch of this size."""
        super().__init__(most=most)
        factors = hosvd_within(sample, most * len(sample)).factors
        self.ranks = [factor.shape[1] for factor in factors]
        for mode, factor in enumerate(factors):
            self.register_buffer(f"factor{mode}", factor, persistent=False)

    @override
    def encode(self, x: Tensor) -> Payload:
        exact = at_least_fp32(x)
        factors = [self._iterated(exact, mode) for mode in range(x.dim())]
        core = exact[None]
        for mode, factor in enumerate(factors):
            core = mode_product(core, factor.mT[None], mode)
        fields = {f"factor{mode}": floating(factor.to(x.dtype)[None]) for mode, factor in enumerate(factors)}
        return Payload(core=floating(core.to(x.dtype)), **fields)

    def values(self, shape: Sequence[int]) -> int:
        """Of core and factors for a batch of this shape."""
        return math.prod(self.ranks) + sum(size * rank for size, rank in zip(shape, self.ranks, strict=True))

    def _iterated(self, x: Tensor, mode: int) -> Tensor:
        unfolding = unfold(x[None], mode)[0]
        before = self.get_buffer(f"factor{mode}").to(unfolding)
        form = (len(unfolding), min(self.ranks[mode], len(unfolding)))
        if before.shape != form:  # another batch size
            before = torch.randn(form, generator=torch.Generator().manual_seed(0)).to(unfolding)
        factor: Tensor = torch.linalg.qr(unfolding @ (unfolding.mT @ before)).Q
        self.register_buffer(f"factor{mode}", factor, persistent=False)
        return factor


def _decomposition(payload: Payload) -> Decomposition:
    """With a first dimension of 1, in fp32 or fp64."""
    names = sorted(name for name in payload if name.startswith("factor"))
    exact = torch.promote_types(payload["core"].dtype, torch.float32)
    return Decomposition(payload["core"].to(exact), tuple(payload[name].to(exact) for name in names))


def _padding(convolution: nn.Conv2d) -> tuple[int, int, int, int]:
    """Zeros above, below, at the left and at the right."""
    left, right, top, bottom = convolution._reversed_padding_repeated_twice
    return int(top), int(bottom), int(left), int(right)


def _weight_gradient(gradient: Tensor, x: Tensor, like: Tensor, convolution: nn.Conv2d) -> Tensor:
    """Of a dense convolution without padding, with a weight of the form of `like`."""
    found: Tensor = torch.ops.aten.convolution_backward(
        gradient,
        x,
        like,
        None,
        convolution.stride,
        [0, 0],
        convolution.dilation,
        False,
        [0, 0],
        1,
        [False, True, False],
    )[1]
    return found
