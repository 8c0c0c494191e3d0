"""HOSVD of what a layer saves for its weight's gradient, and that gradient from the decomposition itself."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from actbench.codec import Codec, Field, Payload, unsigned
from actbench.codec.quantizers import at_least_fp32
from actbench.info import OptionValue
from actbench_plugins.hosvd.coding import RANK_BITS, Codes, Floats
from actbench_plugins.hosvd.decomposition import (
    Modes,
    leading,
    mode_product,
    modes_of,
    ranks_by_share,
    ranks_within,
    unfold,
)


class SavedDecomposition(Codec):
    """Stores a whole batch's tensor of n modes as core (K_0, …, K_{n−1}) and factors (n_i, K_i), as `coding` does, or
    raw where the tensor itself takes no more; and n ranks of 32 bits.

    The ranks are those of a share ε of each mode's variance (Nguyen et al., arXiv 2411.06346, equation 8), or with
    `most`, bits for each of a batch's images, those of the largest ε that fits (ours).
    """

    def __init__(self, epsilon: float | None = None, most: int = 0, coding: Floats | None = None) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.most = most
        self.coding = coding or Floats()

    def fewest_bits(self, sample: Tensor) -> int:
        """Bits of ranks of 1 for a batch of as many images."""
        shape = self._tensor(sample).shape
        return self.coding.bits(shape, [1] * len(shape))

    def fits(self, sample: Tensor) -> bool:
        """Whether any ranks take no more than is allowed for a batch of as many images; with an ε they need not."""
        return bool(self.epsilon) or self.fewest_bits(sample) <= self.most * len(sample)

    @override
    def encode(self, x: Tensor) -> Payload:
        tensor = self._tensor(x)
        factors = self._factors(tensor)
        ranks = [factor.shape[2] for factor in factors]
        if self.coding.bits(tensor.shape, ranks) >= self.coding.raw_bits(x.numel()) + RANK_BITS * len(ranks):
            return Payload(**self.coding.raw(tensor[None]), ranks=_ranks([0] * len(ranks), x))
        return Payload(**self.coding.fields(tensor[None], factors), ranks=_ranks(ranks, x))

    @override
    def decode(self, payload: Payload) -> Tensor:
        if "raw" in payload:
            return self.coding.raw_values(payload)[0]
        return self.coding.decomposition(payload).restore()[0].to(payload["core"].dtype)

    def _tensor(self, x: Tensor) -> Tensor:
        """A batch (B, C, H, W) as the tensor that is decomposed."""
        return x

    def _factors(self, x: Tensor) -> Sequence[Tensor]:
        """Orthonormal factors (1, n_i, K_i)."""
        modes = modes_of(x)
        return leading(modes, self._ranks(x, modes))

    def _ranks(self, x: Tensor, modes: Modes) -> Sequence[int]:
        if self.epsilon:
            return ranks_by_share(modes, self.epsilon)
        return ranks_within(modes, lambda ranks: self.coding.bits(x.shape, ranks) <= self.most * len(x))

    def convolution_weight_gradient(self, payload: Payload, gradient: Tensor, convolution: nn.Conv2d) -> Tensor | None:
        """The gradient of a convolution's weight. With X ≈ S ×_0 U_0 ×_1 U_1 ×_2 U_2 ×_3 U_3, padded in its factors of
        rows and columns,

            Z = gradient of the weight for the input S ×_2 U_2 ×_3 U_3 (K_0, K_1, H, W) and U_0ᵀ·∂L/∂y (K_0, C', H', W')
            ∂L/∂W = Z ×_1 U_1

        a convolution of K_0 images of K_1 channels. With groups each output channel takes its group's rows of U_1.
        """
        if "raw" in payload or convolution.padding_mode != "zeros":
            return None
        decomposed = self.coding.decomposition(payload)
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
        decomposed = self.coding.decomposition(payload)
        reduced = gradient.to(decomposed.core.dtype)[None]
        for mode, factor in enumerate(decomposed.factors[:-1]):
            reduced = mode_product(reduced, factor.mT, mode)
        core = decomposed.core.flatten(0, -2)
        return (reduced.flatten(0, -2).T @ core @ decomposed.factors[-1][0].T).to(gradient.dtype)

    @override
    def describe(self) -> dict[str, OptionValue]:
        chosen: OptionValue = self.epsilon or self.most
        return {"bits": self.coding.width, "epsilon" if self.epsilon else "bits of an image": chosen}


def _ranks(ranks: Sequence[int], like: Tensor) -> Field:
    """The field of the ranks, side information: they follow from the values."""
    return unsigned(torch.tensor([list(ranks)], device=like.device), RANK_BITS, side=True)


class SavedMatrix(SavedDecomposition):
    """Stores the singular value decomposition of the unfolding (B, C·H·W) of a batch (B, C, H, W) in the same way, and
    restores it for the gradient (SVD_ε of arXiv 2411.06346)."""

    def __init__(
        self, shape: tuple[int, int, int], epsilon: float | None = None, most: int = 0, coding: Floats | None = None
    ) -> None:
        super().__init__(epsilon, most, coding)
        self.shape = shape

    @override
    def decode(self, payload: Payload) -> Tensor:
        restored: Tensor = super().decode(payload).unflatten(1, self.shape)
        return restored

    @override
    def convolution_weight_gradient(self, payload: Payload, gradient: Tensor, convolution: nn.Conv2d) -> Tensor | None:
        return None

    @override
    def _tensor(self, x: Tensor) -> Tensor:
        return x.flatten(1)


class SavedSubspace(SavedDecomposition):
    """Stores a decomposition of fixed ranks. Each factor comes from that of the step before by one power iteration,
    `U ← orthonormal(X_(i) X_(i)ᵀ U)`: products in place of eigenvectors. What it keeps from step to step, in the codes
    that were stored, decides how good a payload is, not what it means."""

    def __init__(self, sample: Tensor, most: int, coding: Floats | None = None) -> None:
        """Chooses the ranks, and the factors of before the first step, on a batch `sample` (B, C, H, W) of calibration
        images."""
        super().__init__(None, most, coding)
        factors = super()._factors(sample)
        self.ranks = [factor.shape[2] for factor in factors]
        self._keep(factors)

    @override
    def _factors(self, x: Tensor) -> Sequence[Tensor]:
        ranks = self._ranks_of(x.shape)
        factors = [self._iterated(at_least_fp32(x), mode, ranks[mode]) for mode in range(x.dim())]
        self._keep(factors)
        return factors

    def _ranks_of(self, shape: Sequence[int]) -> list[int]:
        """The ranks, all lower by as much as a batch of another size needs to hold what is allowed."""
        for less in range(max(self.ranks)):
            ranks = [max(1, rank - less) for rank in self.ranks]
            if self.coding.bits(shape, ranks) <= self.most * shape[0]:
                return ranks
        return [1] * len(shape)

    def _iterated(self, x: Tensor, mode: int, rank: int) -> Tensor:
        unfolding = unfold(x[None], mode)[0]
        unfolding = unfolding / unfolding.abs().amax().clamp_min(1e-30)  # squares neither overflow nor vanish
        shape = (len(unfolding), min(rank, *unfolding.shape))
        previous = self._kept(mode).to(unfolding)[0]
        if previous.shape != shape:  # another batch size
            previous = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(unfolding)
        return torch.linalg.qr(unfolding @ (unfolding.mT @ previous)).Q[None]  # type: ignore[no-any-return]

    def _keep(self, factors: Sequence[Tensor]) -> None:
        for mode, factor in enumerate(factors):
            kept = self.coding.factor_codes(factor) if isinstance(self.coding, Codes) else factor
            self.register_buffer(f"factor{mode}", kept.byte() if self.coding.width <= 8 else kept, persistent=False)

    def _kept(self, mode: int) -> Tensor:
        kept = self.get_buffer(f"factor{mode}")
        return self.coding.factor_values(kept.float()) if isinstance(self.coding, Codes) else kept


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
