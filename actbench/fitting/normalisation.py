"""Statistics: batch normalisation estimated again, on images that pass through compressed maps."""

from __future__ import annotations

import torch
from torch import Tensor, fx, nn

_NORMALISATIONS = (nn.BatchNorm1d, nn.BatchNorm2d)


def has_statistics(module: nn.Module) -> bool:
    """Whether there is anything to estimate."""
    return any(_is_estimated(part) for part in module.modules())


@torch.no_grad()
def estimate_statistics(module: fx.GraphModule, images: Tensor) -> None:
    """Sets mean and variance of every batch normalisation, in place and in the order in which they are computed, to
    those of what it gets of the `images` (n, C, H, W), all others before it being set."""
    _Estimation(module.eval()).run(images)


class _Estimation(fx.Interpreter):
    def call_module(self, target: object, args: tuple[object, ...], kwargs: dict[str, object]) -> object:
        layer = self.module.get_submodule(str(target))
        if _is_estimated(layer):
            (x,) = args
            assert isinstance(x, Tensor)
            _set_statistics(layer, x)
        return super().call_module(str(target), args, kwargs)  # type: ignore[arg-type]


def _is_estimated(layer: nn.Module) -> bool:
    return isinstance(layer, _NORMALISATIONS) and layer.track_running_stats


def _set_statistics(layer: nn.Module, x: Tensor) -> None:
    """Mean, and variance without its bias, over everything but channels."""
    rest = (0, *range(2, x.dim()))
    variance, mean = torch.var_mean(x, rest, correction=min(1, x.numel() // x.shape[1] - 1))
    mean_then, variance_then = layer.get_buffer("running_mean"), layer.get_buffer("running_var")
    mean_then.copy_(mean)
    variance_then.copy_(variance)
