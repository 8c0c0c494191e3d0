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
    """Stores a whole batch's tensor of n modes as core (K_0, …, K_{n−1}) and factors (n_i, K_i), in the tensor's type:
    in `Π K_i + Σ n_i·K_i` values, or raw where the tensor itself has no more; and n ranks of 32 bits.

    The ranks are those of a share ε of each mode's variance (Nguyen et al., arXiv 2411.06346, equation 8), or with
    `most`, values for each of a batch's images, those of the largest ε that fits (ours).
    """

    def __init__(self, epsilon: float | None = None, most: int | None = None) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.most = most

    @override
    def encode(self, x: Tensor) -> Payload:
        decomposed = hosvd_epsilon(x, self.epsilon) if self.epsilon else hosvd_within(x, (self.most or 0) * len(x))
        tensors = {f"factor{mode}": factor for mode, factor in enumerate(decomposed.factors)}
        tensors = {"core": decomposed.core, **tensors}
        if sum(tensor.numel() for tensor in tensors.values()) >= x.numel():
            return Payload(raw=floating(x[None]), ranks=_ranks([0] * x.dim(), x))
        fields = {name: floating(tensor.to(x.dtype)[None]) for name, tensor in tensors.items()}
        return Payload(**fields, ranks=_ranks(decomposed.core.shape, x))

    @override
    def decode(self, payload: Payload) -> Tensor:
        if "raw" in payload:
            return payload["raw"][0]
        return _decomposition(payload).restore()[0].to(payload["core"].dtype)

    def convolution_weight_gradient(self, payload: Payload, gradient: Tensor, convolution: nn.Conv2d) -> Tensor | None:
        """The gradient of a convolution's weight. With X ≈ S ×_0 U_0 ×_1 U_1 ×_2 U_2 ×_3 U_3, padded in its factors of
        rows and columns,

            Z = gradient of the weight for the input S ×_2 U_2 ×_3 U_3 (K_0, K_1, H, W) and U_0ᵀ·∂L/∂y (K_0, C', H', W')
            ∂L/∂W = Z ×_1 U_1

        a convolution of K_0 images of K_1 channels. With groups each output channel takes its group's rows of U_1.
        """
        if "raw" in payload or convolution.padding_mode != "zeros":
            return None
        decomposed = _decomposition(payload)
        images, channels, rows, columns = decomposed.factors
        top, bottom, left, right = _padding(convolution)
        planes = mode_product(decomposed.core, functional.pad(rows, (0, 0, top, bottom)), 2)
        planes = mode_product(planes, functional.pad(columns, (0, 0, left, right)), 3)[0]
        reduced = (images[0].T @ gradient.to(images.dtype).flatten(1)).unflatten(1, gradient.shape[1:])
        like = planes.new_empty(gradient.shape[1], planes.shape[1], *convolution.kernel_size)
        z = _weight_gradient(reduced, planes, like, convolution).unflatten(0, (convolution.groups, -1))
        result: Tensor = torch.einsum("gokhw,gck->gochw", z, channels[0].unflatten(0, (convolution.groups, -1)))
        return result.flatten(0, 1).to(gradient.dtype)

    def linear_weight_gradient(self, payload: Payload, gradient: Tensor) -> Tensor | None:
        """The gradient of a linear layer's weight, `∂L/∂W = (∂L/∂y ×_0 U_0ᵀ …)ᵀ S U_lastᵀ`, the leading modes of both
        taken together."""
        if "raw" in payload:
            return None
        decomposed = _decomposition(payload)
        reduced = gradient.to(decomposed.core.dtype)[None]
        for mode, factor in enumerate(decomposed.factors[:-1]):
            reduced = mode_product(reduced, factor.mT, mode)
        core = decomposed.core.flatten(0, -2)
        return (reduced.flatten(0, -2).T @ core @ decomposed.factors[-1][0].T).to(gradient.dtype)

    @override
    def describe(self) -> dict[str, OptionValue]:
        return {"epsilon": self.epsilon} if self.epsilon else {"values": self.most or 0}


def _ranks(ranks: Sequence[int], like: Tensor) -> Field:
    """The field of the ranks, side information: they follow from the values."""
    return unsigned(torch.tensor([list(ranks)], device=like.device), _RANK_BITS, side=True)


class SavedMatrix(SavedDecomposition):
    """Stores the singular value decomposition of the unfolding (B, C·H·W) of a batch (B, C, H, W) in the same way, and
    restores it for the gradient (SVD_ε of arXiv 2411.06346)."""

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
    """Stores a decomposition of fixed ranks. Each factor comes from that of the step before by one power iteration,
    `U ← orthonormal(X_(i) X_(i)ᵀ U)`: products in place of eigenvectors. What it keeps from step to step decides how
    good a payload is, not what it means."""

    def __init__(self, sample: Tensor, most: int) -> None:
        """Chooses the ranks on calibration images `sample` (B, C, H, W); `most`: values for each image of a batch of
        this size."""
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
        """The number of values of core and factors for a batch of this shape."""
        return math.prod(self.ranks) + sum(size * rank for size, rank in zip(shape, self.ranks, strict=True))

    def _iterated(self, x: Tensor, mode: int) -> Tensor:
        unfolding = unfold(x[None], mode)[0]
        previous = self.get_buffer(f"factor{mode}").to(unfolding)
        shape = (len(unfolding), min(self.ranks[mode], len(unfolding)))
        if previous.shape != shape:  # another batch size
            previous = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(unfolding)
        factor: Tensor = torch.linalg.qr(unfolding @ (unfolding.mT @ previous)).Q
        self.register_buffer(f"factor{mode}", factor, persistent=False)
        return factor


def _decomposition(payload: Payload) -> Decomposition:
    """The stored decomposition, with a first dimension of 1, in fp32 or fp64."""
    names = sorted(name for name in payload if name.startswith("factor"))
    exact = torch.promote_types(payload["core"].dtype, torch.float32)
    return Decomposition(payload["core"].to(exact), tuple(payload[name].to(exact) for name in names))


def _padding(convolution: nn.Conv2d) -> tuple[int, int, int, int]:
    """How many zeros stand above, below, at the left and at the right."""
    left, right, top, bottom = convolution._reversed_padding_repeated_twice
    return int(top), int(bottom), int(left), int(right)


def _weight_gradient(gradient: Tensor, x: Tensor, like: Tensor, convolution: nn.Conv2d) -> Tensor:
    """The gradient of the weight of a dense convolution without padding; the weight has the shape of `like`."""
    stride, dilation, wanted = convolution.stride, convolution.dilation, [False, True, False]
    _, weight_gradient, _ = torch.ops.aten.convolution_backward(
        gradient, x, like, None, stride, [0, 0], dilation, False, [0, 0], 1, wanted
    )
    return weight_gradient  # type: ignore[no-any-return]
