"""Static scales of the entries of a core: their deviations differ by orders of magnitude."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_FLOOR = 1e-4


class SeparableScales(nn.Module):
    """Scales `a_i·b_j·c_k`, close to the root mean square of a core's entries on calibration images: the least-squares
    fit to its logarithm. A table of K_1·K_2·K_3 scales would fit few calibration images and miss the others."""

    def __init__(self, core: Tensor) -> None:
        """Fits the scales to `core` (images, K_1, K_2, K_3)."""
        super().__init__()
        deviation = core.square().mean(0).sqrt()
        logarithm = deviation.clamp_min(max(_FLOOR * float(deviation.max()), 1e-12)).log()
        first, second, third = (logarithm.mean([axis for axis in range(3) if axis != mode]) for mode in range(3))
        self.register_buffer("a", first.exp())
        self.register_buffer("b", (second - logarithm.mean()).exp())
        self.register_buffer("c", (third - logarithm.mean()).exp())

    def forward(self, like: Tensor) -> Tensor:
        """The scales (K_1, K_2, K_3), in the type of `like`."""
        vectors = (self.get_buffer(name).to(like.dtype) for name in "abc")
        scales: Tensor = torch.einsum("i,j,k->ijk", *vectors)
        return scales
