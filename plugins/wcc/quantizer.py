"""WCC's quantiser: a clip that is learned at both ends, and a code that stands for zero all the while."""

from __future__ import annotations

import torch
from torch import Tensor

from actbench.codec import UniformQuantizer
from actbench.codec.quantizers import at_least_fp32, round_straight_through


class ZeroQuantizer(UniformQuantizer):
    """Uniform quantiser whose grid has zero on it wherever its clip has, whatever the clip has learned:

        step = (high − low) / (2^width − 1),   zero = round(−low / step),   code = round(clip(x) / step) + zero,
        x̂ = (code − zero)·step

    The grid is the clip's, moved by half a step at most. At a position that all channels share, most channels are close
    to zero: without a code for it, each of them costs up to half a step. A clip on one side of zero stays where it is.
    Gradients are those of `UniformQuantizer`, PACT's at either end of the grid.
    """

    def encode(self, x: Tensor) -> Tensor:
        exact = at_least_fp32(x)
        step, zero, start = self._grid(exact)
        low, high = start - zero * step, start + (self.levels - zero) * step
        if torch.is_grad_enabled():
            # PACT: what is cut off moves with its end of the clip.
            low = low + self._shaped(exact, self.low - self.low.detach())
            high = high + self._shaped(exact, self.high - self.high.detach())
            clipped = torch.where(exact >= high, high, torch.where(exact <= low, low, exact))
            codes = round_straight_through((clipped - start) / step) + zero
        else:
            codes = torch.clamp(exact, low, high).sub_(start).div_(step).round_().add_(zero)
        return codes.to(x.dtype if self.width <= 8 else exact.dtype)

    def decode(self, codes: Tensor) -> Tensor:
        exact = at_least_fp32(codes)
        step, zero, start = self._grid(exact)
        return (exact - zero).mul_(step).add_(start).to(codes.dtype)

    def _grid(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The step, the code that stands for `start`, and `start` itself: zero, or the low end of a clip on one side of
        it. Without gradients, beside the dimensions of values like x."""
        low, high, step = (self._shaped(x, each.detach()) for each in (self.low, self.high, self.step))
        has_zero = (low < 0) & (high > 0)
        none = torch.zeros_like(step)
        return step, torch.where(has_zero, (-low / step).round(), none), torch.where(has_zero, none, low)

    def _shaped(self, x: Tensor, ends: Tensor) -> Tensor:
        """One number, or one for each channel, beside the dimensions of x and in its type."""
        return ends.to(x.dtype).view(-1, *[1] * (x.dim() - 2)) if ends.dim() else ends.to(x.dtype)
