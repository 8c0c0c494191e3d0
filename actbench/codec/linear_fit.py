"""Linear decoders by least squares: the step over channels that reconstructs a map from what is read of it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_RIDGE = 1e-6
_IMAGES_AT_ONCE = 16


@torch.no_grad()
def fit_decoder(decoder: nn.Conv2d, read: Tensor, target: Tensor) -> None:
    """Sets a 1×1 convolution W (C, k), and its bias b where it has one, to the least `‖target − W·read − b‖² +
    λ‖W − W₀‖²`, W₀ being what it was; `read` (images, k, H, W), `target` (images, C, H, W). In fp64."""
    weight, bias = decoder.weight, decoder.bias
    read_mean, target_mean = (_mean(x, subtracted=bias is not None) for x in (read, target))
    gram, cross = _products(read, target, read_mean, target_mean)
    prior = weight[:, :, 0, 0].double()
    fitted = ridge_regression(gram, cross, prior)
    weight.copy_(fitted[:, :, None, None])
    if bias is not None:
        bias.copy_(target_mean - fitted @ read_mean)


def ridge_regression(gram: Tensor, cross: Tensor, prior: Tensor) -> Tensor:
    """The W (C, k) with the least `‖y − W·x‖² + λ‖W − prior‖²`, of `gram = Σ x·xᵀ` (k, k) and `cross = Σ y·xᵀ` (C, k),
    fp64. λ is small beside the mean energy of x: it decides only where a channel of x is hardly ever active, and there
    leaves it what it was."""
    ridge = _RIDGE * gram.diagonal().mean().clamp_min(1e-30)
    regular = gram + ridge * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    solution: Tensor = torch.linalg.solve(regular, (cross + ridge * prior).T).T
    return solution


def _mean(x: Tensor, *, subtracted: bool) -> Tensor:
    """The mean (C,) of each channel; zero where none is subtracted."""
    return x.mean((0, 2, 3), dtype=torch.float64) if subtracted else x.new_zeros(x.shape[1], dtype=torch.float64)


def _products(x: Tensor, y: Tensor, x_mean: Tensor, y_mean: Tensor) -> tuple[Tensor, Tensor]:
    """`Σ x·xᵀ` and `Σ y·xᵀ` of channels about their means, some images at a time."""
    gram = x.new_zeros(x.shape[1], x.shape[1], dtype=torch.float64)
    cross = x.new_zeros(y.shape[1], x.shape[1], dtype=torch.float64)
    for some_x, some_y in zip(x.split(_IMAGES_AT_ONCE), y.split(_IMAGES_AT_ONCE), strict=True):
        columns, targets = (_columns(some) for some in (some_x, some_y))
        columns, targets = columns - x_mean[:, None], targets - y_mean[:, None]
        gram += columns @ columns.T
        cross += targets @ columns.T
    return gram, cross


def _columns(x: Tensor) -> Tensor:
    """A column for each position: (images, C, H, W) → (C, positions) fp64."""
    return x.transpose(0, 1).flatten(1).double()
